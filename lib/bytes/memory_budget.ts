import { pause } from "./pause.ts";
import { CHUNK_BUDGET_BYTES, SMALLEST_CHUNK_BYTES } from "./chunk_budget.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
/** The memory for buffers and caches by default, in bytes. */
export const DEFAULT_MEMORY_BYTES = 160 * MiB;
/** The largest part of it that `ChunkBudget` and the caches of manifests and upstream answers need, in bytes. */
export const FIXED_BYTES = CHUNK_BUDGET_BYTES + 40 * MiB;
/** A document up to this size is sent at once; a larger one is sent in pieces. */
export const SMALL_BODY_BYTES = 64 * KiB;
// The runtime has about five chunks of a response in memory when its client does not read.
const RESPONSE_BYTES = 5 * SMALLEST_CHUNK_BYTES;
const RETRY_MILLISECONDS = 50;
const PATIENCE_MILLISECONDS = 5000;

/**
 * Accounts for the memory of responses. What does not fit has to wait, or is refused. Chunks of files that are larger than
 * the smallest ones are accounted for by `ChunkBudget`.
 */
export class MemoryBudget {
  /** The limit, in bytes. */
  limit: number;
  /** Called when memory is short: frees some of it if it can, for example by closing a connection that does not read. */
  onShortage: () => void = () => {};
  readonly #shared = new Map<ArrayBufferLike, { users: number; readonly lease: Disposable }>();
  #used = 0;

  /** @param limit in bytes */
  constructor(limit: number = DEFAULT_MEMORY_BYTES - FIXED_BYTES) {
    this.limit = limit;
  }

  /** The memory in use, in bytes. */
  get used(): number {
    return this.#used;
  }

  /** Takes memory until the lease is disposed of; `undefined` when there is too little. */
  take(bytes: number): Disposable | undefined {
    if (this.#used + bytes > this.limit) return undefined;
    this.#used += bytes;
    return once(() => this.#used -= bytes);
  }

  /** Takes the memory that a response needs until it is sent. @param length its size in bytes, if it is known */
  takeResponse(length: number = Infinity): Disposable | undefined {
    return this.take(Math.min(length, RESPONSE_BYTES));
  }

  /** Takes the memory of bytes that several responses may send: they are counted once. */
  takeShared({ buffer }: Uint8Array): Disposable | undefined {
    let shared = this.#shared.get(buffer);
    if (shared === undefined) {
      const lease = this.take(buffer.byteLength);
      if (lease === undefined) return undefined;
      this.#shared.set(buffer, shared = { users: 0, lease });
    }
    const { lease } = shared;
    const entry = shared;
    entry.users++;
    return once(() => {
      if (--entry.users > 0) return;
      this.#shared.delete(buffer);
      lease[Symbol.dispose]();
    });
  }

  /** Waits for memory up to 5 seconds. @param take takes it. @returns `undefined` when there is still too little */
  async wait(take: () => Disposable | undefined): Promise<Disposable | undefined> {
    for (let waited = 0; waited < PATIENCE_MILLISECONDS; waited += RETRY_MILLISECONDS) {
      const lease = take();
      if (lease !== undefined) return lease;
      this.onShortage();
      await pause(RETRY_MILLISECONDS);
    }
    return take();
  }
}

/** The memory of this process. */
export const memoryBudget = new MemoryBudget();

function once(release: () => void): Disposable {
  let isReleased = false;
  return {
    [Symbol.dispose]() {
      if (isReleased) return;
      isReleased = true;
      release();
    },
  };
}
