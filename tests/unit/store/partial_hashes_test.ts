import { DigestMismatchError } from "../../../lib/content/verifier.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const CHUNK = 1000;
const CHUNKS = 50;
const content = crypto.getRandomValues(new Uint8Array(CHUNK * CHUNKS));
const digest = computeDigest(content);

/** Counts the bytes that are read from files while `work` runs. */
async function countReads(work: () => Promise<void>): Promise<number> {
  const { read } = Deno.FsFile.prototype;
  let bytes = 0;
  Deno.FsFile.prototype.read = async function (buffer) {
    const got = await read.call(this, buffer);
    bytes += got ?? 0;
    return got;
  };
  try {
    await work();
  } finally {
    Deno.FsFile.prototype.read = read;
  }
  return bytes;
}

/** Appends one chunk, as an upload does whose connection ends after it. */
async function append(store: DiskStore, bytes = content): Promise<void> {
  const ingest = await store.openIngest(digest);
  await ingest.write(bytes.subarray(ingest.written, ingest.written + CHUNK));
  ingest.keep();
}

async function commit(store: DiskStore): Promise<void> {
  const ingest = await store.openIngest(digest);
  await ingest.write(content.subarray(ingest.written));
  await ingest.commit();
}

Deno.test("[89] a blob that arrives in many chunks is not read again for each of them", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const bytes = await countReads(async () => {
    for (let i = 1; i < CHUNKS; i++) await append(store);
    await commit(store);
  });
  assertEquals(bytes, 0);
  assertEquals(await store.statBlob("", digest), content.length);
});

const other = content.map((byte) => byte ^ 1);
const CHANGES: Record<string, { change: (path: string) => Promise<void>; isDamaged: boolean }> = {
  "was written again with other bytes": {
    // The time of a file has the resolution of the kernel's clock.
    change: async (path) => {
      await Deno.writeFile(path, other.subarray(0, 3 * CHUNK));
      await Deno.utime(path, new Date(), new Date(1_000_000));
    },
    isDamaged: true,
  },
  "was replaced by another file": {
    change: async (path) => {
      await Deno.writeFile(`${path}.new`, other.subarray(0, 3 * CHUNK));
      await Deno.rename(`${path}.new`, path);
    },
    isDamaged: true,
  },
  "was continued by another process": {
    change: (path) => Deno.writeFile(path, content.subarray(3 * CHUNK, 5 * CHUNK), { append: true }),
    isDamaged: false,
  },
  "was truncated": { change: (path) => Deno.truncate(path, CHUNK), isDamaged: false },
  "was removed": { change: (path) => Deno.remove(path), isDamaged: false },
};

for (const [name, { change, isDamaged }] of Object.entries(CHANGES)) {
  Deno.test(`a partial file that ${name} is hashed again`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    for (let i = 0; i < 3; i++) await append(store);
    await change(`${folder.path}/ingest/${digest.replace(":", "-")}.partial`);
    if (isDamaged) await assertRejects(() => commit(store), DigestMismatchError);
    else await commit(store);
    assertEquals(await store.statBlob("", digest), isDamaged ? undefined : content.length);
  });
}

Deno.test("a hash is not kept after more bytes than expected, nor after an end that was verified", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  await append(store);
  const small = await store.openIngest(digest);
  small.expectSize(2 * CHUNK);
  await assertRejects(() => small.write(content.subarray(CHUNK)), DigestMismatchError);
  small.keep();
  assertEquals(await countReads(async () => (await store.openIngest(digest)).keep()), content.length);
  const whole = await store.openIngest(digest);
  whole.finishVerify();
  whole.keep();
  await commit(store);
  assertEquals(await store.statBlob("", digest), content.length);
});

Deno.test("the hashes of 64 partial files are kept", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const blobs = Array.from({ length: 65 }, (_, i) => new TextEncoder().encode(`blob ${i}`));
  for (const bytes of blobs) {
    const ingest = await store.openIngest(computeDigest(bytes));
    await ingest.write(bytes.subarray(0, 5));
    ingest.keep();
  }
  const reads = [];
  for (const bytes of [...blobs].reverse()) {
    reads.push(await countReads(async () => (await store.openIngest(computeDigest(bytes))).keep()));
  }
  assertEquals(reads, [...Array(64).fill(0), 5]);
});
