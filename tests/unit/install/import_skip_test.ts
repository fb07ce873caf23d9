import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { gunzipSync, gzipSync, zstdCompressSync } from "node:zlib";
import { verifyBundle } from "../../../lib/bundle/verify_bundle.ts";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assert, assertEquals, assertLess, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeImage, makeKubePkg, pack } from "../bundle/bundle_support.ts";
import { checkImage, importBundle, WatchedStore } from "./import_support.ts";

const REPO = "docker.io/library/app";
const SIZES = [1_500_000, 70_000, 2_000_000, 300, 2_500_000];
const LAYERS = SIZES.map((size, seed) => makeBlob(size, seed + 1));
const LAYER_DIGESTS = new Set(LAYERS.map(({ descriptor }) => descriptor.digest));
const IMAGE = makeImage("linux/amd64", LAYERS);
const SOURCE = await fillStore(new MemoryStore(), { "app:1": IMAGE });
const TGZ = (await pack(makeKubePkg({ "app:1": "" }), SOURCE)).bytes;
const TAR = new Uint8Array(gunzipSync(TGZ));
const HEADER_BYTES = 24;
const HEAD = new DataView(TGZ.buffer).getUint32(HEADER_BYTES - 8, true);
// The most bytes that are read after each jump and before the first one; and the most that are read ahead in a blob.
const SLACK = 64 * 1024;
const AHEAD = 1024 * 1024;

/** A store that holds all layers except those with the given indices. */
async function makeStore(...missing: number[]): Promise<WatchedStore> {
  const store = new WatchedStore();
  for (const [i, { descriptor, bytes }] of LAYERS.entries()) {
    if (!missing.includes(i)) await store.writeBlob(REPO, descriptor, streamOf(bytes));
  }
  store.blobs.length = 0;
  return store;
}

/** The bundle with stored blocks of another size, or with another head length in its header. */
function repack(blockBytes: number, head = HEAD): Uint8Array<ArrayBuffer> {
  const headTar = gunzipSync(TGZ.subarray(0, HEADER_BYTES + HEAD), { finishFlush: 2 }).length;
  const parts = [TGZ.slice(0, HEADER_BYTES + HEAD)];
  new DataView(parts[0]!.buffer).setUint32(HEADER_BYTES - 8, head, true);
  for (let at = headTar; at < TAR.length; at += blockBytes) {
    const piece = TAR.slice(at, at + blockBytes);
    const [low, high] = [piece.length & 0xff, piece.length >> 8];
    parts.push(new Uint8Array([0, low, high, low ^ 0xff, high ^ 0xff]), piece);
  }
  return joinChunks([...parts, TGZ.subarray(-13)]);
}

const ways: [string, Uint8Array<ArrayBuffer>, boolean][] = [
  ["a crpe bundle", TGZ, true],
  ["a plain tar", TAR, true],
  ["blocks of another size", repack(30_000), false],
  ["a header with a wrong position", repack(65_535, HEAD + 1000), false],
  ["a header with a position beyond the end", repack(65_535, 0xffffffff), false],
  ["another program's gzip", new Uint8Array(gzipSync(TAR, { level: 1 })), false],
  ["zstd", new Uint8Array(zstdCompressSync(TAR)), false],
];
for (const [what, bytes, isSkipped] of ways) {
  for (const missing of [[], [0], [4], [1, 2], [3], [0, 1, 2, 3, 4]]) {
    const need = missing.map((i) => SIZES[i]!).reduce((a, b) => a + b, 0);
    Deno.test(`importBundle() of ${what} ${isSkipped ? "reads" : "writes"} ${need} bytes of layers`, async () => {
      using store = await makeStore(...missing);
      const file = new CountedFile(bytes);
      await importBundle(new FileSource(file), store);
      const expected = new Set(missing.map((i) => LAYERS[i]!.descriptor.digest));
      // The small blob is written beside others.
      assertEquals(new Set(store.blobs).intersection(LAYER_DIGESTS), expected);
      assertEquals(store.blobs.length, new Set(store.blobs).size);
      await checkImage(store, `${REPO}:1`, IMAGE);
      assert(file.isClosed);
      if (isSkipped) assertLess(file.bytesRead, need + missing.length * AHEAD + (SIZES.length + 1) * SLACK);
      else assert(file.bytesRead >= bytes.length);
    });
  }
}

Deno.test("[48] importBundle() that skips all layers detects a truncated end and trailing data", async () => {
  const wrong: [string, Uint8Array][] = [];
  for (const bytes of [TGZ, TAR]) {
    // Cut off: the trailer, the final block, half of the end blocks, all of them, and some of the last layer.
    for (const cut of [1, 8, 9, 13, 14, 512, 600, 1024, 1100, 2_000_000]) {
      wrong.push([`cut ${cut}`, bytes.slice(0, -cut)]);
    }
    wrong.push(["more", joinChunks([bytes, new Uint8Array([1])])]);
  }
  const length = TGZ.slice();
  length[length.length - 2]! ^= 1;
  wrong.push(["another length", length]);
  const final = TGZ.slice();
  final[final.length - 13] = 0;
  wrong.push(["no final block", final]);
  for (const [what, bytes] of wrong) {
    using store = await makeStore();
    const error = await importBundle(new FileSource(new CountedFile(bytes)), store).catch((error) => error);
    assert(error instanceof CorruptError, `${what}: ${error}`);
    assertEquals(store.visible, [], what);
  }
});

Deno.test("[48] importBundle() that skips all layers detects a flipped bit in the documents before them", async () => {
  const imported = async (bytes: Uint8Array<ArrayBuffer>, store: WatchedStore) => {
    return (await importBundle(new FileSource(new CountedFile(bytes)), store)).kubepkg;
  };
  const good = JSON.stringify(await imported(TGZ, await makeStore()));
  let store = await makeStore();
  const bytes = TGZ.slice();
  // Of each third byte another bit.
  for (let at = HEADER_BYTES; at < HEADER_BYTES + HEAD; at += 3) {
    bytes[at]! ^= 1 << at % 8;
    const found = await imported(bytes, store).catch((error) => error);
    bytes[at] = TGZ[at]!;
    // A refused bundle leaves nothing, so that the store can be used again.
    if (found instanceof CorruptError) assertEquals(store.visible, [], `byte ${at}`);
    else {
      // Some bits of a deflate stream have no meaning.
      assertEquals(JSON.stringify(found), good, `byte ${at}`);
      store = await makeStore();
    }
  }
});

Deno.test("[43] importBundle() detects a jump to a wrong position, because no header is there", async () => {
  const bytes = TAR.slice();
  // The header of the first large layer is changed to a smaller size.
  const name = `blobs/sha256/${LAYERS[0]!.descriptor.digest.slice(7)}`;
  const text = new TextDecoder("latin1").decode(bytes);
  let at = text.indexOf(name);
  // manifest.json names the blobs too, but not at the start of a block.
  while (at % 512 !== 0) at = text.indexOf(name, at + 1);
  bytes.set(new TextEncoder().encode((SIZES[0]! - 512).toString(8).padStart(11, "0")), at + 124);
  const store = await makeStore();
  await assertRejects(() => importBundle(new FileSource(new CountedFile(bytes)), store), CorruptError);
  assertEquals(store.visible, []);
});

Deno.test("importBundle() reads a file to its last byte and verifies it if all blobs are needed", async () => {
  const file = new CountedFile(TGZ);
  assertEquals((await verifyBundle(new FileSource(file))).problems, []);
  assert(file.bytesRead >= TGZ.length);
  const crc = TGZ.slice();
  crc[crc.length - 6]! ^= 1;
  const { problems } = await verifyBundle(new FileSource(new CountedFile(crc)));
  assertStringIncludes(problems[0]!.message, "its checksum does not match the data");
});

Deno.test("importBundle() with dryRun reads only the first entry, of a file and of a stream", async () => {
  const cut = TGZ.slice(0, HEADER_BYTES + HEAD);
  for (const bytes of [TGZ, TAR, cut, TAR.slice(0, 64 * 1024)]) {
    const file = new CountedFile(bytes);
    const { plan } = await importBundle(new FileSource(file), await makeStore(0), { dryRun: true });
    assertEquals([plan.verdict, plan.blobs.toWrite, file.isClosed], ["install", 3, true]);
    assertLess(file.bytesRead, 2 * SLACK);

    let [given, isCancelled] = [0, false];
    const stream = new ReadableStream<Uint8Array>({
      pull(controller) {
        const piece = bytes.slice(given, given + 4096);
        given += piece.length;
        if (piece.length === 0) controller.close();
        else controller.enqueue(piece);
      },
      cancel: () => void (isCancelled = true),
    }, { highWaterMark: 0 });
    await importBundle(stream, await makeStore(0), { dryRun: true });
    assertLess(given, 2 * SLACK);
    assert(isCancelled || given === bytes.length);
  }
});
