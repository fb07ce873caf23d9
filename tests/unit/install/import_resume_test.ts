import { gunzipSync } from "node:zlib";
import { FileSource } from "../../../lib/bytes/file_source.ts";
import type { InstallResult } from "../../../lib/install/install_result.ts";
import { StalePartialError } from "../../../lib/install/write_bundle_blob.ts";
import { CorruptError, NoSpaceError } from "../../../lib/oci/error.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { partialPath } from "../../../lib/store/layout.ts";
import {
  assert,
  assertEquals,
  assertGreater,
  assertLess,
  assertRejects,
  assertStringIncludes,
} from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { CountedFile } from "../../support/counted_file.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { fillStore, makeImage, makeKubePkg, pack } from "../bundle/bundle_support.ts";
import { checkImage, importBundle } from "./import_support.ts";

const REPO = "docker.io/library/app";
const LAYERS = [makeBlob(1_000_000, 1), makeBlob(4_000_000, 2), makeBlob(1_000_000, 3)];
const [, CUT] = LAYERS as [unknown, ReturnType<typeof makeBlob>];
const IMAGE = makeImage("linux/amd64", LAYERS);
const SOURCE = await fillStore(new MemoryStore(), { "app:1": IMAGE });
const TGZ = (await pack(makeKubePkg({ "app:1": "" }), SOURCE)).bytes;
const TAR = new Uint8Array(gunzipSync(TGZ));
const PARTIAL = partialPath(CUT.descriptor.digest);
const AHEAD = 1024 * 1024 + 5 * 64 * 1024;

async function createSite() {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  return {
    folder,
    store,
    listIngest: () => folder.listFiles("ingest"),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

/** A stream that fails after `end` bytes. */
function streamUntil(bytes: Uint8Array<ArrayBuffer>, end: number): ReadableStream<Uint8Array> {
  return streamOf(bytes.slice(0, end)).pipeThrough(
    new TransformStream({ flush: (controller) => controller.error(new Error("the cable was pulled")) }),
  );
}

for (const [what, bytes] of [["a crpe bundle", TGZ], ["a plain tar", TAR]] as const) {
  Deno.test(`[26] importBundle() of ${what} resumes an interrupted blob at its next byte`, async () => {
    await using site = await createSite();
    const { store, folder } = site;
    // The second layer is interrupted twice: by a stream that fails, and then by a file that is truncated.
    await assertRejects(() => importBundle(streamUntil(bytes, 2_500_000), store), Error, "the cable was pulled");
    assertEquals(await site.listIngest(), [PARTIAL.slice("ingest/".length)]);
    const first = (await Deno.stat(`${folder.path}/${PARTIAL}`)).size;
    assertGreater(first, 1_000_000);
    const short = new CountedFile(bytes.slice(0, 4_000_000));
    await assertRejects(() => importBundle(new FileSource(short), store), CorruptError);
    const second = (await Deno.stat(`${folder.path}/${PARTIAL}`)).size;
    assertGreater(second, first);
    assertLess(short.bytesRead, 4_000_000 - 1_000_000 - first + AHEAD);
    assertEquals(await store.resolve(REPO, "1"), undefined);

    const file = new CountedFile(bytes);
    let progress = { bytes: 0, total: 0 };
    const { blobs } = await importBundle(new FileSource(file), store, {
      onProgress: ({ bytes, total = 0 }) => progress = { bytes, total },
    });
    assertEquals([blobs.written, blobs.skipped], [3, 2]);
    assertEquals(progress.bytes, progress.total);
    assertLess(file.bytesRead, 4_000_000 - second + 1_000_000 + AHEAD);
    await checkImage(store, `${REPO}:1`, IMAGE);
    assertEquals(await site.listIngest(), []);
  });
}

const partialFiles: [string, Uint8Array, boolean][] = [
  ["that is complete", CUT.bytes, true],
  ["that is empty", new Uint8Array(0), true],
  ["that is larger than the blob", new Uint8Array(5_000_000), true],
  ["that is as large as the blob, but wrong", new Uint8Array(4_000_000), true],
  ["that is smaller than the blob, and wrong", new Uint8Array(1_000_000), false],
];
for (const [what, left, isGood] of partialFiles) {
  const outcome = isGood ? "succeeds" : "fails with StalePartialError, and the retry succeeds";
  Deno.test(`importBundle() with a partial file ${what} ${outcome}`, async () => {
    await using site = await createSite();
    await site.folder.write(PARTIAL, left);
    const run = (): Promise<InstallResult> => importBundle(new FileSource(new CountedFile(TGZ)), site.store);
    if (!isGood) {
      const { message } = await assertRejects(run, StalePartialError);
      assertStringIncludes(message, `Cannot accept ${CUT.descriptor.digest}: the content has digest`);
      assertStringIncludes(message, "its first 1000000 bytes were left by an interrupted import");
      assertEquals(await site.listIngest(), []);
      assertEquals(await site.store.resolve(REPO, "1"), undefined);
    }
    await run();
    await checkImage(site.store, `${REPO}:1`, IMAGE);
    assertEquals(await site.listIngest(), []);
  });
}

Deno.test("[43] importBundle() keeps no partial file of a blob with the wrong digest", async () => {
  await using site = await createSite();
  const bytes = TAR.slice();
  bytes[3_000_000]! ^= 1;
  for (let round = 0; round < 2; round++) {
    const error = await assertRejects(() => importBundle(streamOf(bytes), site.store), CorruptError);
    assert(!error.message.includes("interrupted"));
    assertEquals(await site.listIngest(), []);
  }
});

Deno.test("[32] importBundle() deletes the partial file of a blob when the disk is full", async () => {
  await using site = await createSite();
  const { store } = site;
  const open = store.openIngest.bind(store);
  store.openIngest = async (digest) => {
    const ingest = await open(digest);
    const write = ingest.write.bind(ingest);
    ingest.write = async (chunk) => {
      if (ingest.written > 1_500_000) throw new NoSpaceError("Cannot write: no space left on the device");
      await write(chunk);
    };
    return ingest;
  };
  await assertRejects(() => importBundle(streamOf(TGZ), store), NoSpaceError);
  assertEquals([await site.listIngest(), await store.resolve(REPO, "1")], [[], undefined]);
});
