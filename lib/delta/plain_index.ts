import { free } from "../bytes/lent_chunks.ts";
import { pause } from "../bytes/pause.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { PagedBytes } from "./paged_bytes.ts";

/** What an index is made of. */
export interface IndexSearch {
  /** Number of bytes that a match is found by. */
  readonly window: number;
  /** Distance of the positions that are indexed; larger for more bytes than the memory of an index allows. */
  readonly step: number;
  /** Smallest distance, for so few bytes that the index stays small. */
  readonly leastStep: number;
}

/** Options of `PlainIndex.build`. */
interface PlainIndexOptions extends IndexSearch {
  readonly signal?: AbortSignal | undefined;
}

const READ_BYTES = 1 << 20;
/** Cache for the comparison of candidates. */
const CACHE_BYTES = 32 << 20;
/** At most this many positions are indexed: with 6 bytes a slot and 1.5 slots a position, 192 MiB. */
const MAX_POSITIONS = 22_000_000;
/** So many positions make a small index, of at most 48 MiB. */
const SMALL_POSITIONS = 5_500_000;
const MIN_BITS = 12;
const MAX_BITS = 25;
const PRIME = 0x01000193;
const MIX = 0x9e3779b1 | 0;

/**
 * A hash index of the plain bytes of old layers, which lie one after the other in scratch space. Every `step`-th position
 * is indexed by the `window` bytes that begin there; of equal ones the first.
 */
export class PlainIndex {
  readonly bytes: PagedBytes;
  readonly window: number;
  readonly step: number;
  readonly #shift: number;
  /** The position of a slot divided by `step`, plus one; 0 for a free slot. */
  readonly #blocks: Uint32Array;
  /** Bits of the hash, so that few bytes are compared in vain. */
  readonly #checks: Uint16Array;
  /** `PRIME` to the power of `window - 1`: the weight of the byte that leaves a rolling hash. */
  readonly #leaving: number;

  private constructor(source: ReadableBytes, { window, step, leastStep }: PlainIndexOptions) {
    this.bytes = new PagedBytes(source, CACHE_BYTES);
    this.window = window;
    const smallStep = Math.max(leastStep, Math.ceil(source.size / SMALL_POSITIONS));
    this.step = Math.max(Math.min(step, smallStep), Math.ceil(source.size / MAX_POSITIONS));
    const positions = Math.ceil(source.size / this.step);
    let bits = MIN_BITS;
    while (bits < MAX_BITS && 2 ** bits < positions * 1.5) bits++;
    this.#shift = 32 - bits;
    this.#blocks = new Uint32Array(2 ** bits);
    this.#checks = new Uint16Array(2 ** bits);
    let leaving = 1;
    for (let i = 1; i < window; i++) leaving = Math.imul(leaving, PRIME);
    this.#leaving = leaving;
  }

  /** Indexes all bytes of a source. Yields to other work from time to time. */
  static async build(source: ReadableBytes, options: PlainIndexOptions): Promise<PlainIndex> {
    const index = new PlainIndex(source, options);
    const buffer = new Uint8Array(READ_BYTES + index.window);
    try {
      for (let start = 0; start < source.size;) {
        options.signal?.throwIfAborted();
        start = index.#addChunk(start, buffer.subarray(0, source.readAt(start, buffer)));
        await pause(0);
      }
      return index;
    } catch (error) {
      index.free();
      throw error;
    } finally {
      free(buffer);
    }
  }

  /** The hash of the `window` bytes from `at`. */
  hash(bytes: Uint8Array, at: number): number {
    let hash = 0;
    for (let i = 0; i < this.window; i++) hash = Math.imul(hash, PRIME) + bytes[at + i]! | 0;
    return hash;
  }

  /** The hash of the window one byte further, without the byte `leaving` and with the byte `entering`. */
  roll(hash: number, leaving: number, entering: number): number {
    return Math.imul(hash - Math.imul(leaving, this.#leaving) | 0, PRIME) + entering | 0;
  }

  /** A position whose bytes probably have this hash; -1 if there is none. */
  find(hash: number): number {
    const mixed = Math.imul(hash ^ hash >>> 15, MIX);
    const slot = mixed >>> this.#shift;
    const block = this.#blocks[slot]!;
    return block === 0 || this.#checks[slot] !== (mixed & 0xffff) ? -1 : (block - 1) * this.step;
  }

  /** Gives up the memory of the index, hundreds of megabytes, without waiting for a collection. It is not used any more. */
  free(): void {
    for (const table of [this.#blocks, this.#checks]) free(table);
    this.bytes.free();
  }

  // Returns the position at which the next chunk begins.
  #addChunk(start: number, chunk: Uint8Array): number {
    let at = 0;
    for (; at + this.window <= chunk.length; at += this.step) {
      const hash = this.hash(chunk, at);
      const mixed = Math.imul(hash ^ hash >>> 15, MIX);
      const slot = mixed >>> this.#shift;
      if (this.#blocks[slot] !== 0) continue;
      this.#blocks[slot] = (start + at) / this.step + 1;
      this.#checks[slot] = mixed & 0xffff;
    }
    return start + Math.max(at, this.step);
  }
}
