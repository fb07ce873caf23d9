import { layOutBundle } from "../../../lib/bundle/bundle_layout.ts";
import { packBundle, type PackOptions } from "../../support/pack_bundle.ts";
import { preparePack } from "../../../lib/bundle/prepare_pack.ts";
import type { PartialFile } from "../../../lib/bundle/resume_pack.ts";
import { resolveRange } from "../../../lib/bytes/byte_range.ts";
import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeImage, makeKubePkg, pack } from "./bundle_support.ts";

// Blobs that span many stored blocks, and blobs of one byte and of none.
const IMAGE = makeImage("linux/amd64", [
  makeBlob(400_000, 1),
  makeBlob(1, 2),
  makeBlob(0),
  makeBlob(800_001, 3, "sha512"),
]);
const KUBEPKG = makeKubePkg({ "app:1": "" });

/** A file in memory. */
class MemoryFile implements PartialFile {
  bytes: Uint8Array<ArrayBuffer>;
  written = 0;
  /** Smallest number of bytes that were kept of the original file. */
  kept = Infinity;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
  }

  readAt(position: number, buffer: Uint8Array): Promise<number> {
    const piece = this.bytes.subarray(position, position + buffer.length);
    buffer.set(piece);
    return Promise.resolve(piece.length);
  }

  cut(length: number): Promise<void> {
    this.kept = Math.min(this.kept, length);
    this.bytes = this.bytes.slice(0, length);
    return Promise.resolve();
  }

  write(piece: Uint8Array): void {
    const joined = new Uint8Array(this.bytes.length + piece.length);
    joined.set(this.bytes);
    joined.set(piece, this.bytes.length);
    this.bytes = joined;
    this.written += piece.length;
  }
}

/** Counts the bytes of the blobs that are read. */
class CountingStore extends MemoryStore {
  opened = 0;
  bytes = 0;
  override async openBlob(...args: Parameters<MemoryStore["openBlob"]>) {
    const blob = await super.openBlob(...args);
    this.opened++;
    this.bytes += blob?.length ?? 0;
    return blob;
  }
}

async function createStore(): Promise<CountingStore> {
  const store = new CountingStore();
  await fillStore(store, { "app:1": IMAGE });
  return store;
}

async function resume(file: MemoryFile, store: MemoryStore, options: PackOptions = {}) {
  return await packBundle(KUBEPKG, store, {
    ...options,
    output: { write: (bytes) => file.write(bytes), partial: file },
  });
}

const WHOLE = (await pack(KUBEPKG, await createStore(), { hashOutput: true })).bytes;
const LAYOUT = layOutBundle(await preparePack(KUBEPKG, await createStore(), {}));
const HEAD = LAYOUT.head.bytes.length;
const BLOCK = 65_540;
// All borders, and some positions far from any.
const CUTS = [
  ...[0, 1, HEAD - 1, HEAD, HEAD + 1, HEAD + 5, HEAD + 6, HEAD + 5 + 512, HEAD + 5 + 600],
  ...[1, 6, 7, 16, 17].flatMap((blocks) => [-1, 0, 1, 4, 5, 6].map((more) => HEAD + blocks * BLOCK + more)),
  ...[5000, 1600, 1024, 14, 13, 12, 5, 1, 0].map((less) => WHOLE.length - less),
  ...Array.from({ length: 40 }, (_, i) => Math.floor(WHOLE.length * (i + 0.37) / 40)),
];

for (const cut of new Set(CUTS)) {
  Deno.test(`packBundle() resumes a file that was cut off after ${cut} of ${WHOLE.length} bytes`, async () => {
    const store = await createStore();
    const file = new MemoryFile(WHOLE.slice(0, cut));
    const result = await resume(file, store, { hashOutput: true });
    assertEquals(computeDigest(file.bytes), computeDigest(WHOLE));
    assertEquals([result.tgzDigest, result.size], [computeDigest(WHOLE), WHOLE.length]);
    // Only the last, incomplete stored block is written again, and its content is not read again.
    const least = cut < HEAD ? 0 : cut - BLOCK;
    assert(file.kept >= least || cut === WHOLE.length, `${file.kept} of ${cut} bytes were kept`);
    assert(file.written <= WHOLE.length - least);
    assert(result.resumed <= cut && result.resumed >= (cut < HEAD ? 0 : cut - 5 - 13), `${result.resumed} of ${cut}`);
    const content = IMAGE.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0);
    // The config is read once more, for its platform.
    assert(store.bytes <= Math.min(content, WHOLE.length - Math.max(cut, HEAD)) + IMAGE.blobs[0]!.bytes.length);
    assertEquals(store.openBodies, 0);
  });
}

for (const at of [HEAD, HEAD + 7, HEAD + 2000, HEAD + 300_000, HEAD + 6 * BLOCK + 3, WHOLE.length - 700_000]) {
  Deno.test(`packBundle() rewrites a damaged file from the entry that has the wrong byte ${at}`, async () => {
    for (const length of [WHOLE.length, WHOLE.length - 1000, WHOLE.length - 300_000]) {
      const store = await createStore();
      const file = new MemoryFile(WHOLE.slice(0, length));
      file.bytes[at]! ^= 1;
      await resume(file, store);
      assertEquals(computeDigest(file.bytes), computeDigest(WHOLE));
      assert(file.kept <= at);
    }
  });
}

Deno.test("packBundle() reads a blob again when it finds at its end that the resumed beginning is damaged", async () => {
  const store = await createStore();
  const file = new MemoryFile(WHOLE.slice(0, HEAD + 300_000));
  file.bytes[HEAD + 200_000]! ^= 1;
  await resume(file, store);
  assertEquals(computeDigest(file.bytes), computeDigest(WHOLE));
  assertEquals(store.openBodies, 0);
});

Deno.test("packBundle() rewrites a file with a wrong end, or with data after its end", async () => {
  const corrupted = WHOLE.slice();
  corrupted[WHOLE.length - 6]! ^= 1;
  const longer = new Uint8Array(WHOLE.length + 3);
  longer.set(WHOLE);
  for (const bytes of [corrupted, longer, WHOLE.with(3, 0), new Uint8Array(WHOLE.length), WHOLE.slice(1)]) {
    const file = new MemoryFile(bytes);
    await resume(file, await createStore());
    assertEquals(computeDigest(file.bytes), computeDigest(WHOLE));
  }
});

Deno.test("packBundle() overwrites the file of another package", async () => {
  const other = await pack(makeKubePkg({ "app:1": "" }, "0.0.2"), await createStore());
  const file = new MemoryFile(other.bytes);
  const { resumed } = await resume(file, await createStore());
  assertEquals([computeDigest(file.bytes), resumed, file.kept], [computeDigest(WHOLE), 0, 0]);
});

Deno.test("packBundle() reports a blob that ends before the position from which it resumes", async () => {
  const store = await createStore();
  const { openBlob } = store;
  store.openBlob = async (repo, digest, range) => {
    if (digest !== IMAGE.blobs[1]!.descriptor.digest) return await openBlob.call(store, repo, digest, range);
    const { start, length } = resolveRange(1000, range);
    return { size: 1000, start, length, body: streamOf(IMAGE.blobs[1]!.bytes.slice(start, start + length)) };
  };
  const file = new MemoryFile(WHOLE.slice(0, HEAD + 300_000));
  await assertRejects(() => resume(file, store), DigestMismatchError, "received 1000 of 400000 bytes");
});

Deno.test("packBundle() gives up when the content is wrong also after a restart", async () => {
  const store = await createStore();
  const wrong = new MemoryStore();
  const layer = IMAGE.blobs[1]!;
  wrong.openBlob = async (repo, digest, range) => {
    const opened = await store.openBlob(repo, digest, range);
    if (digest !== layer.descriptor.digest || opened === undefined) return opened;
    const flip = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => controller.enqueue(chunk.map((byte) => byte ^ 1)),
    });
    return { ...opened, body: opened.body.pipeThrough(flip) };
  };
  wrong.resolve = (...args) => store.resolve(...args);
  wrong.readManifest = (...args) => store.readManifest(...args);
  const file = new MemoryFile(WHOLE.slice(0, HEAD + 300_000));
  await assertRejects(() => resume(file, wrong), DigestMismatchError, "Cannot pack docker.io/library/app:1: ");
  assertEquals(store.openBodies, 0);
});
