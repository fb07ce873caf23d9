const KiB = 1024;
const MiB = 1024 * KiB;
/** The memory for buffers and caches by default, in bytes. */
export const DEFAULT_MEMORY_BYTES = 160 * MiB;
/** The memory that the caches of manifests, sizes and upstream answers have together at most, in bytes. */
export const CACHE_BYTES = 40 * MiB;
/** The largest chunk, in bytes. From this size on, Deno's overhead per chunk is negligible. */
export const LARGEST_CHUNK_BYTES = MiB;
// The smallest chunk. The runtime collects smaller ones, so that they save no memory.
const SMALLEST_CHUNK_BYTES = 16 * KiB;
/** A response up to this size costs its size; a larger one is sent in chunks. */
export const SMALL_BODY_BYTES = 64 * KiB;
// The runtime has about five chunks of a response in memory when its client does not read.
const CHUNKS_IN_FLIGHT = 5;
// No response gets more than this share of the memory that is left.
const FREE_SHARE = 8;

// A few responses get large chunks for speed, many get small ones to save memory.
const CHUNKS_OF_STREAMS = [
  { atMost: 4, bytes: LARGEST_CHUNK_BYTES },
  { atMost: 12, bytes: LARGEST_CHUNK_BYTES / 2 },
  { atMost: 64, bytes: LARGEST_CHUNK_BYTES / 16 },
  // More than a cluster needs: most of these clients have stopped reading.
  { atMost: Infinity, bytes: SMALLEST_CHUNK_BYTES },
] as const;
const RETRY_MILLISECONDS = 50;
const PATIENCE_MILLISECONDS = 5000;

/** Accounts for the memory of buffers and caches. What does not fit has to wait, or is refused. */
export class MemoryBudget {
  /** The limit, in bytes. */
  limit: number;
  /** Called when memory is short: frees some of it if it can, for example by closing a connection that does not read. */
  onShortage: () => void = () => {};
  readonly #shared = new Map<ArrayBufferLike, { users: number; readonly lease: Disposable }>();
  #used = 0;
  #streams = 0;

  constructor(limit: number = DEFAULT_MEMORY_BYTES) {
    this.limit = limit;
  }

  /** The memory in use, in bytes. */
  get used(): number {
    return this.#used;
  }

  /** The size of the chunks in which a response is sent, as long as there are as many of them as now. */
  get chunkBytes(): number {
    const { bytes } = CHUNKS_OF_STREAMS.find(({ atMost }) => this.#streams <= atMost)!;
    const share = (this.limit - this.#used) / FREE_SHARE / CHUNKS_IN_FLIGHT;
    return Math.max(SMALLEST_CHUNK_BYTES, Math.min(bytes, 2 ** Math.floor(Math.log2(Math.max(share, 1)))));
  }

  /** Takes memory until the lease is disposed of; `undefined` when there is too little. */
  take(bytes: number): Disposable | undefined {
    if (this.#used + bytes > this.limit) return undefined;
    this.#used += bytes;
    return once(() => this.#used -= bytes);
  }

  /** Takes the memory that a response needs until it is sent. @param length its size in bytes, if it is known */
  takeResponse(length: number = Infinity): Disposable | undefined {
    if (length <= SMALL_BODY_BYTES) return this.take(length);
    const lease = this.take(Math.min(length, this.chunkBytes * CHUNKS_IN_FLIGHT));
    if (lease === undefined) return undefined;
    this.#streams++;
    return once(() => {
      this.#streams--;
      lease[Symbol.dispose]();
    });
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
      await new Promise((resolve) => setTimeout(resolve, RETRY_MILLISECONDS));
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
