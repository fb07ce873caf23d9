import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { LocalCopies } from "../../../lib/cache/local_copies.ts";
import type { CopiedBlob } from "../../../lib/content/blob_copies.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { until } from "../../support/cache_fixture.ts";
import { makeBlob, readAll, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const KIB = 1024;
const blobs = [1, 2, 3, 4].map((seed) => makeBlob(300 * KIB, seed));
const [a, b, c, d] = blobs as [typeof blobs[0], typeof blobs[0], typeof blobs[0], typeof blobs[0]];
type Blob = typeof blobs[0];

/** A store that counts how often it is read. */
class Source {
  reads = 0;

  blob({ descriptor: { digest, size }, bytes }: Blob, range?: CopiedBlob["range"], sent = bytes): CopiedBlob {
    return {
      ...{ digest, size, range },
      openSource: () => {
        this.reads++;
        return Promise.resolve({ size, start: 0, length: size, body: streamOf(sent) });
      },
    };
  }
}

async function openCopies(folder: TestFolder, maxBytes = 1024 * KIB) {
  const options = { folder: folder.path, files: new SharedFiles(), maxBytes, warn() {} };
  return (await LocalCopies.open(options))!;
}

/** Reads a blob through the copies, and waits until they have it. */
async function read(copies: LocalCopies, blob: CopiedBlob): Promise<Uint8Array | undefined> {
  const opened = await copies.open(blob);
  const bytes = opened && await readAll(opened);
  // The last bytes are sent before the file has its name.
  while (copies.isCopying) await new Promise((resolve) => setTimeout(resolve, 1));
  return bytes;
}

Deno.test("[103] LocalCopies reads a blob once for many clients, and then from the disk", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder);
  const all = await Promise.all(Array.from({ length: 20 }, () => read(copies, source.blob(a))));
  assertEquals(all.every((bytes) => bytes?.length === a.bytes.length), true);
  assertEquals(await read(copies, source.blob(a)), a.bytes);
  assertEquals(await read(copies, source.blob(a, { start: 100, end: 199 })), a.bytes.slice(100, 200));
  assertEquals([source.reads, copies.bytes], [1, 300 * KIB]);
});

Deno.test("[103] LocalCopies does not copy a blob of which a client wants a range", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder);
  assertEquals(await copies.open(source.blob(a, { start: 100, end: 199 })), undefined);
  assertEquals([source.reads, copies.bytes], [0, 0]);
});

Deno.test("[103] LocalCopies removes the least recently used copies, and copies nothing that is larger than its limit", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  const copies = await openCopies(folder, 900 * KIB);
  for (const blob of [a, b, c, a, d]) await read(copies, source.blob(blob));
  assertEquals([source.reads, copies.bytes], [4, 900 * KIB]);
  for (const blob of [a, c, d]) await read(copies, source.blob(blob));
  assertEquals(source.reads, 4);
  await read(copies, source.blob(b));
  assertEquals([source.reads, copies.bytes], [5, 900 * KIB]);
  copies[Symbol.dispose]();
  using small = await openCopies(folder, 299 * KIB);
  assertEquals([await small.open(source.blob(a)), small.bytes, source.reads], [undefined, 0, 5]);
});

Deno.test("[103] LocalCopies keeps its limit while several blobs are copied at once", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder, 650 * KIB);
  const opened = await Promise.all(blobs.map((blob) => copies.open(source.blob(blob))));
  assertEquals(opened.map((it) => it !== undefined), [true, true, false, false]);
  await Promise.all(opened.map((it) => it && readAll(it)));
  while (copies.isCopying) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals([source.reads, copies.bytes], [2, 600 * KIB]);
});

Deno.test("[103] LocalCopies belongs to one process at a time, and hashes a copy of an earlier one before it is used", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  const first = await openCopies(folder);
  for (const blob of [a, b]) await read(first, source.blob(blob));
  assertEquals(
    await LocalCopies.open({ folder: folder.path, files: new SharedFiles(), maxBytes: 1, warn() {} }),
    undefined,
  );
  first[Symbol.dispose]();
  await Deno.writeFile(`${folder.path}/${blobPath(a.descriptor.digest)}`, a.bytes.toReversed());
  using second = await openCopies(folder);
  assertEquals([second.bytes, await read(second, source.blob(b)), source.reads], [600 * KIB, b.bytes, 2]);
  assertEquals([await read(second, source.blob(a)), source.reads, second.bytes], [a.bytes, 3, 600 * KIB]);
  assertEquals((await folder.listFiles("")).filter((name) => name.includes("quarantine")), []);
});

Deno.test("[103] LocalCopies keeps no wrong bytes, and no client gets all of them", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder);
  await assertRejects(() => read(copies, source.blob(a, undefined, a.bytes.toReversed())));
  const bytes = await read(copies, source.blob(a));
  // A client learns of the wrong bytes before their file is removed, and its room is free.
  await until("the room of the wrong copy is free", () => copies.bytes === 300 * KIB);
  assertEquals([bytes, source.reads], [a.bytes, 2]);
});

Deno.test("[103] LocalCopies counts nothing for a blob that is missing", async () => {
  await using folder = await TestFolder.create();
  using copies = await openCopies(folder);
  const missing = { ...new Source().blob(a), openSource: () => Promise.resolve(undefined) };
  assertEquals([await copies.open(missing), copies.bytes], [undefined, 0]);
});

Deno.test("[103] LocalCopies takes over a file, unless there is no room", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder, 400 * KIB);
  for (const [{ bytes, descriptor }, isTaken] of [[a, true], [a, false], [b, true]] as const) {
    const path = await folder.write("file", bytes);
    assertEquals([await copies.adopt(path, descriptor), copies.bytes], [isTaken, 300 * KIB]);
  }
  assertEquals([await read(copies, source.blob(b)), source.reads], [b.bytes, 0]);
});

Deno.test("[103] LocalCopies counts a blob once that it takes over twice at the same time", async () => {
  await using folder = await TestFolder.create();
  using copies = await openCopies(folder);
  const paths = await Promise.all(["x", "y"].map((name) => folder.write(name, a.bytes)));
  await Promise.all(paths.map((path) => copies.adopt(path, a.descriptor)));
  assertEquals(copies.bytes, 300 * KIB);
});

Deno.test("[103] LocalCopies leaves no part of a copy that failed", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder);
  await assertRejects(() => read(copies, source.blob(a, undefined, a.bytes.slice(0, 200 * KIB))));
  while (copies.isCopying) await new Promise((resolve) => setTimeout(resolve, 1));
  const refused = { ...source.blob(b), openSource: () => Promise.reject(new Error("503")) };
  await assertRejects(() => copies.open(refused), Error, "503");
  assertEquals([await Array.fromAsync(Deno.readDir(`${folder.path}/ingest`)), copies.bytes], [[], 0]);
});

Deno.test("[103] LocalCopies reads a blob from the bucket when its copy cannot be read", async () => {
  await using folder = await TestFolder.create();
  const source = new Source();
  using copies = await openCopies(folder);
  await read(copies, source.blob(a));
  const path = `${folder.path}/${blobPath(a.descriptor.digest)}`;
  await Deno.remove(path);
  await Deno.mkdir(path);
  assertEquals([await read(copies, source.blob(a)), source.reads], [a.bytes, 2]);
});
