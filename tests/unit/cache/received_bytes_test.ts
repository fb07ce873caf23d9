import { ChunkBudget } from "../../../lib/bytes/chunk_budget.ts";
import type { FileReader } from "../../../lib/bytes/shared_files.ts";
import { ReceivedBytes, UNWRITTEN_BYTES, type WrittenFile } from "../../../lib/cache/received_bytes.ts";
import type { Follower } from "../../../lib/cache/relay.ts";
import { NoSpaceError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

const CHUNK = 512 * 1024;
const AHEAD = UNWRITTEN_BYTES / CHUNK;

/** A file that writes a chunk when it is told to, in order. */
class SlowFile implements WrittenFile {
  readonly budget: ChunkBudget;
  written = 0;
  stored = 0;
  readonly #waiting: { readonly length: number; readonly end: PromiseWithResolvers<void> }[] = [];

  constructor(budget = new ChunkBudget()) {
    this.budget = budget;
  }

  write({ length }: Uint8Array): Promise<void> {
    this.written += length;
    const end = Promise.withResolvers<void>();
    this.#waiting.push({ length, end });
    return end.promise;
  }

  verify({ length }: Uint8Array): void {
    this.written += length;
  }

  finishOne(): void {
    const { length, end } = this.#waiting.shift()!;
    this.stored += length;
    end.resolve();
  }

  fail(error: Error): void {
    for (const { end } of this.#waiting.splice(0)) end.reject(error);
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));
const follower = (): Follower => ({ at: 0, isDropped: false });
const scarce = () => {
  const budget = new ChunkBudget(CHUNK);
  budget.hold({ length: CHUNK, users: 0 });
  return budget;
};

interface ReceiveCase {
  readonly title: string;
  readonly followers: Follower[];
  readonly budget?: ChunkBudget;
  /** Number of chunks that are received before one is written. */
  readonly received: number;
  /** How many of them readers may read. */
  readonly available: number;
  /** Number of unwritten chunks later. */
  readonly ahead: number;
}

const CASES: ReceiveCase[] = [
  { title: "without readers, of which the first may join", followers: [], received: 2, available: 1, ahead: 1 },
  { title: "with a reader", followers: [follower()], received: AHEAD + 1, available: AHEAD + 1, ahead: AHEAD + 1 },
  { title: "when memory is scarce", followers: [follower()], budget: scarce(), received: 1, available: 1, ahead: 1 },
];
for (const { title, followers, budget, received, available, ahead } of CASES) {
  Deno.test(`ReceivedBytes receives ${received} chunks before the first one is written, ${title}`, async () => {
    const file = new SlowFile(budget);
    const bytes = new ReceivedBytes(file, new Set(followers), "the blob");
    let added = 0;
    let readable = 0;
    const run = (async () => {
      for (; added < 2 * AHEAD; added++) await bytes.add(new Uint8Array(CHUNK).fill(added), () => readable++);
      await bytes.flush();
    })();
    await settle();
    assertEquals([added, readable, file.written], [received - 1, available, received * CHUNK]);
    // What is available and not in the file is in memory.
    for (let i = 0; i < readable; i++) {
      const read = await bytes.read({} as FileReader, i * CHUNK, CHUNK);
      assertEquals([read?.[0], read?.length], [i, CHUNK]);
    }
    for (let i = 1; i <= 2 * AHEAD; i++) {
      file.finishOne();
      await settle();
      assertEquals(file.written, Math.min(2 * AHEAD, ahead + i) * CHUNK);
    }
    await run;
    bytes.clear();
    assertEquals(file.budget.used, budget === undefined ? 0 : CHUNK);
  });
}

Deno.test("[31] ReceivedBytes passes on from memory what was not written when the disk filled up", async () => {
  const file = new SlowFile();
  const reader = follower();
  const bytes = new ReceivedBytes(file, new Set([reader]), "the blob");
  for (let i = 0; i < 3; i++) assertEquals(await bytes.add(new Uint8Array(CHUNK).fill(i), () => {}), "kept");
  file.finishOne();
  file.fail(new NoSpaceError("no space left on the device"));
  await bytes.flush();
  assertEquals(bytes.isDiskFull, true);
  await bytes.add(new Uint8Array(CHUNK).fill(3), () => {});
  assertEquals([file.written, file.stored], [4 * CHUNK, CHUNK]);
  for (let i = 1; i < 4; i++) assertEquals((await bytes.read({} as FileReader, i * CHUNK, CHUNK))?.[0], i);
  reader.at = 4 * CHUNK;
  await assertRejects(() => bytes.finishRelay(), NoSpaceError, "the blob");
  bytes.clear();
  assertEquals(file.budget.used, 0);
});

Deno.test("[31] ReceivedBytes without readers throws when the disk is full", async () => {
  const file = new SlowFile();
  const bytes = new ReceivedBytes(file, new Set(), "the blob");
  assertEquals(await bytes.add(new Uint8Array(CHUNK), () => {}), "kept");
  file.fail(new NoSpaceError("no space left on the device"));
  await assertRejects(() => bytes.add(new Uint8Array(CHUNK), () => {}), NoSpaceError);
  assertEquals(bytes.isDiskFull, false);
});
