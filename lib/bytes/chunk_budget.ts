import { CHUNK_BYTES } from "./file_stream.ts";

/** A chunk that is counted while it is kept, or may not have been sent yet. */
export interface CountedChunk {
  /** Size of its memory, in bytes. */
  readonly length: number;
  /** Number of readers that hold it, and one if it is kept. */
  users: number;
}

/** The total by default, in bytes. */
export const CHUNK_BUDGET_BYTES = 40 * 1024 * 1024;
/** Size of the smallest chunks, in bytes. Below it the overhead of a chunk exceeds the cost of its bytes. */
export const SMALLEST_CHUNK_BYTES = CHUNK_BYTES / 64;

/**
 * The memory of the chunks of files: those that are kept for several readers, and those that were passed to the
 * server, which holds them until its client has read them. Chunks of any size are allowed while there is room. Under
 * pressure the readers get smaller ones, so that many clients that do not read cannot fill the memory.
 */
export class ChunkBudget {
  readonly #max: number;
  #used = 0;

  /** @param max the total for which full-sized chunks are allowed, in bytes */
  constructor(max = CHUNK_BUDGET_BYTES) {
    this.#max = max;
  }

  /** Number of bytes that are held. */
  get used(): number {
    return this.#used;
  }

  /** Whether no more than the next chunks should be held. */
  get isScarce(): boolean {
    return this.#used > this.#max / 2;
  }

  /** Largest size of the next chunk, in bytes. */
  get chunkBytes(): number {
    const free = this.#max - this.#used;
    if (!this.isScarce) return CHUNK_BYTES;
    if (free >= this.#max / 4) return CHUNK_BYTES / 4;
    return free > 0 ? CHUNK_BYTES / 16 : SMALLEST_CHUNK_BYTES;
  }

  /** The largest part of it that may be kept for readers to come, in bytes. */
  get keptBytes(): number {
    return this.#max / 3;
  }

  /** Adds a user of a chunk. The chunk is counted once. */
  hold(chunk: CountedChunk): void {
    if (chunk.users++ === 0) this.#used += chunk.length;
  }

  /** Removes a user of a chunk. */
  release(chunk: CountedChunk): void {
    if (--chunk.users === 0) this.#used -= chunk.length;
  }
}
