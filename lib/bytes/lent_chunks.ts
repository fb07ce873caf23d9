import type { ByteSource } from "./byte_reader.ts";

// What is done when a reader returns a chunk.
const returns = new WeakMap<Uint8Array, () => void>();

/**
 * Returns a chunk that was lent by `LentMemory`; the reader must not use it any more. The runtime, if it has been given
 * the chunk, keeps the memory until it is sent.
 */
export function returnChunk(chunk: Uint8Array): void {
  const onReturn = returns.get(chunk);
  returns.delete(chunk);
  onReturn?.();
}

/**
 * Bytes that are lent to readers. Their memory is given up as soon as the owner has dropped it and all readers have
 * returned it, after which all chunks of it are empty. Otherwise the chunks of a large body are found by a collection
 * of the whole heap every few dozen of them, which costs as much CPU time as all else that is done for the body. A
 * reader that does not return its chunks leaves the memory to that collection.
 */
export class LentMemory {
  readonly #bytes: Uint8Array | Promise<Uint8Array>;
  /** The owner, and the readers that have not returned their chunk. */
  #users = 1;

  /** @param bytes the bytes, whose buffer nothing else uses; or a promise of them */
  constructor(bytes: Uint8Array | Promise<Uint8Array>) {
    this.#bytes = bytes;
  }

  /** Returns up to `limit` bytes from a position on. The reader must not change them. */
  async lend(start: number, limit: number): Promise<Uint8Array> {
    this.#users++;
    const chunk = (await this.#bytes).subarray(start, start + limit);
    returns.set(chunk, () => this.#leave());
    return chunk;
  }

  /** Ends the use by the owner, who must not call `lend` afterwards. */
  drop(): void {
    this.#leave();
  }

  #leave(): void {
    if (--this.#users > 0) return;
    if (this.#bytes instanceof Promise) this.#bytes.then(free, () => {});
    else free(this.#bytes);
  }
}

/** Gives up the memory of a chunk, without waiting for a collection of garbage. All views of its buffer are empty then. */
export function free({ buffer }: ArrayBufferView): void {
  (buffer as ArrayBuffer).transfer(0);
}

/**
 * Reads a source whose reader has used all bytes of a chunk, and what it made of them by reference, when it requests the
 * second chunk after it. The chunk is returned then, or at the end.
 */
export function returnUsedChunks(source: ByteSource): ByteSource {
  const used: Uint8Array[] = [];
  const returnTo = (count: number) => {
    while (used.length > count) returnChunk(used.shift()!);
  };
  return {
    read: async () => {
      returnTo(1);
      const chunk = await source.read();
      if (chunk !== undefined) used.push(chunk);
      return chunk;
    },
    cancel: async (reason) => {
      await source.cancel(reason);
      returnTo(0);
    },
  };
}
