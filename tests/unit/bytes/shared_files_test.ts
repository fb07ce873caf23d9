import { ChunkBudget } from "../../../lib/bytes/chunk_budget.ts";
import { countBody } from "../../../lib/bytes/counted_body.ts";
import { type FileHandle, SharedFiles, streamReader } from "../../../lib/bytes/shared_files.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { patternBytes, readAll } from "../../support/upstream_source.ts";
import { CrpeError } from "../../../lib/oci/error.ts";

const MiB = 1024 * 1024;
const SIZE = 8 * MiB + 5;
const CONTENT = patternBytes(SIZE);

/** A file in memory that counts how often each MiB of it is read, and how many handles are open. */
class CountedFile {
  readonly reads = new Map<number, number>();
  open = 0;
  content = CONTENT;

  handle(): FileHandle {
    let position = 0;
    this.open++;
    return {
      stat: () => Promise.resolve({ dev: 1, ino: 2 }),
      read: async (buffer) => {
        await Promise.resolve();
        const bytes = this.content.subarray(position, position + buffer.length);
        if (bytes.length === 0) return null;
        if (bytes.length === Math.min(MiB, SIZE - position)) {
          const index = position / MiB;
          this.reads.set(index, (this.reads.get(index) ?? 0) + 1);
        }
        buffer.set(bytes);
        position += bytes.length;
        return bytes.length;
      },
      seekSync: (offset) => position = offset,
      close: () => this.open--,
    };
  }
}

function equals(a: Uint8Array, b: Uint8Array): boolean {
  return computeDigest(a) === computeDigest(b);
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("SharedFiles reads each chunk of a file at most twice for 32 readers, through one handle", async () => {
  const file = new CountedFile();
  const budget = new ChunkBudget();
  const files = new SharedFiles(budget);
  const readers = await Promise.all(Array.from({ length: 32 }, () => files.open(file.handle(), SIZE)));
  assertEquals(file.open, 1);
  const bodies = await Promise.all(readers.map((reader) => readAll(streamReader(reader, 0, SIZE))));
  assert(bodies.every((body) => equals(body, CONTENT)));
  assertEquals(file.reads.size, 9);
  assert([...file.reads.values()].every((count) => count <= 2), [...file.reads.values()].join(" "));
  await settle();
  assertEquals([file.open, budget.used], [0, 0]);
});

Deno.test("SharedFiles reads a chunk at most twice for readers that start one after the other", async () => {
  const file = new CountedFile();
  const files = new SharedFiles();
  const readers: ReadableStreamDefaultReader<Uint8Array>[] = [];
  let done = 0;
  while (done < 8) {
    if (readers.length < 8) readers.push(streamReader(await files.open(file.handle(), SIZE), 0, SIZE).getReader());
    for (const reader of readers) if ((await reader.read()).done) done++;
  }
  assert([...file.reads.values()].every((count) => count <= 2), [...file.reads.values()].join(" "));
});

Deno.test("SharedFiles reads a chunk once for readers that begin at positions in its first half", async () => {
  const file = new CountedFile();
  const files = new SharedFiles();
  const readers = await Promise.all(Array.from({ length: 8 }, () => files.open(file.handle(), SIZE)));
  for (const [i, reader] of readers.entries()) {
    const bytes = await reader.read(i * 1000, SIZE - i * 1000);
    assert(equals(bytes, CONTENT.subarray(i * 1000, MiB)));
  }
  assertEquals([...file.reads], [[0, 1]]);
});

Deno.test("SharedFiles keeps nothing for one reader, beyond the chunks that may not have been sent", async () => {
  const file = new CountedFile();
  const budget = new ChunkBudget();
  const reader = await new SharedFiles(budget).open(file.handle(), SIZE);
  for (let at = 0; at < SIZE;) {
    at += (await reader.read(at, SIZE - at)).length;
    assert(budget.used <= 4 * MiB, `${budget.used}`);
  }
  reader.close();
  reader.close();
  await settle();
  assertEquals([file.open, budget.used], [0, 0]);
});

for (const readers of [1, 2]) {
  Deno.test(`countBody() frees the chunks of a file with ${readers} readers when all have read the next one`, async () => {
    const files = new SharedFiles();
    const file = new CountedFile();
    const opened = await Promise.all(Array.from({ length: readers }, () => files.open(file.handle(), SIZE)));
    const bodies = opened.map((reader) => {
      return countBody(streamReader(reader, 0, SIZE), SIZE, { onEnd() {}, returnsChunks: true });
    });
    const read = async (body: ReadableStream<Uint8Array>) => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) {
        assert(equals(chunk, CONTENT.subarray(chunks.length * MiB, (chunks.length + 1) * MiB)));
        chunks.push(chunk);
      }
      return chunks;
    };
    const chunks = await Promise.all(bodies.map(read));
    assertEquals(chunks.map(({ length }) => length), bodies.map(() => 9));
    assertEquals(chunks.flat().filter(({ length }) => length > 0), []);
  });
}

Deno.test("countBody() frees no chunk that another reader has, even when it is no longer kept", async () => {
  // A third of it is for chunks that are kept.
  const files = new SharedFiles(new ChunkBudget(24 * MiB));
  const file = new CountedFile();
  const [first, second] = [await files.open(file.handle(), SIZE), await files.open(file.handle(), SIZE)];
  const body = countBody(streamReader(first, 0, SIZE), SIZE, { onEnd() {}, returnsChunks: true });
  const held = await second.read(0, SIZE);
  for await (const _ of body);
  assert(equals(held, CONTENT.subarray(0, MiB)));
  await second.read(0, SIZE);
  assertEquals(file.reads.get(0), 2);
  second.close();
});

Deno.test("countBody() frees no chunk of a file when its reader may collect them", async () => {
  const file = new CountedFile();
  const body = streamReader(await new SharedFiles().open(file.handle(), SIZE), 0, SIZE);
  const counted = countBody(body, SIZE, { onEnd() {} });
  assert(equals(await new Response(counted as BodyInit).bytes(), CONTENT));
});

const RANGES: [start: number, length: number][] = [
  [0, 1],
  [1, 3 * MiB],
  [MiB, MiB],
  [MiB - 1, 2],
  [SIZE - 1, 1],
  [2 * MiB, SIZE - 2 * MiB],
  [3 * MiB + 7, 0],
];
Deno.test("SharedFiles gives the bytes of every range, read beside readers of the whole file", async () => {
  const file = new CountedFile();
  const files = new SharedFiles();
  const stream = async (start: number, length: number) => {
    const body = streamReader(await files.open(file.handle(), SIZE), start, length);
    return equals(await readAll(body), CONTENT.subarray(start, start + length));
  };
  const ranges = [[0, SIZE] as const, ...RANGES, [0, SIZE] as const];
  assertEquals(await Promise.all(ranges.map(([start, length]) => stream(start, length))), ranges.map(() => true));
});

Deno.test("[88] SharedFiles gives smaller chunks to readers while many others have not sent theirs", async () => {
  const file = new CountedFile();
  const budget = new ChunkBudget(16 * MiB);
  const files = new SharedFiles(budget);
  // Clients that do not read: the server takes some chunks of each, at positions that differ.
  const readers = await Promise.all(Array.from({ length: 1000 }, () => files.open(file.handle(), SIZE)));
  for (const [i, reader] of readers.entries()) {
    for (let chunks = 0, at = (i * 4099) % (4 * MiB); chunks < 4; chunks++) {
      at += (await reader.read(at, SIZE - at)).length;
    }
  }
  assert(budget.used <= 16 * MiB + 1000 * 4 * (MiB / 64), `${budget.used}`);
  for (const reader of readers) reader.close();
  assertEquals(budget.used, 0);
});

Deno.test("SharedFiles reports a file that is shorter than expected to each reader, and forgets it", async () => {
  const file = new CountedFile();
  file.content = CONTENT.subarray(0, MiB + 1);
  const budget = new ChunkBudget();
  const files = new SharedFiles(budget);
  const readers = await Promise.all([1, 2].map(() => files.open(file.handle(), SIZE)));
  for (const reader of readers) {
    await assertRejects(() => readAll(streamReader(reader, 0, SIZE)), Error, "shorter than expected");
  }
  await settle();
  assertEquals([file.open, budget.used], [0, 0]);
  file.content = CONTENT;
  const again = streamReader(await files.open(file.handle(), SIZE), 0, SIZE);
  assert(equals(await readAll(again), CONTENT));
});

Deno.test("SharedFiles closes the handle of a file that it cannot identify", async () => {
  const file = new CountedFile();
  const handle = { ...file.handle(), stat: () => Promise.reject(new Error("Input/output error")) };
  await assertRejects(() => new SharedFiles().open(handle, SIZE), Error, "Input/output error");
  assertEquals(file.open, 0);
});

Deno.test("SharedFiles refuses to read through a closed reader, and reads of no bytes", async () => {
  const file = new CountedFile();
  const budget = new ChunkBudget();
  const files = new SharedFiles(budget);
  const reader = await files.open(file.handle(), SIZE);
  await assertRejects(() => reader.read(0, 0), CrpeError, "Cannot read 0 bytes");
  reader.close();
  await assertRejects(() => reader.read(0, 1), Error, "its reader is closed");
  assertEquals(budget.used, 0);
});
