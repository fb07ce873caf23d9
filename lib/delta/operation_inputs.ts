import type { ByteSource } from "../bytes/byte_reader.ts";
import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { cannot, CorruptError } from "../oci/error.ts";

/** Larger than any varint of a number below 2^53. */
const MAX_VARINT_BYTES = 8;
const CACHE_BYTES = 256 << 10;
/** What is read at once, at least. */
const LEAST_BYTES = 4096;
/** Shorter ranges are copied byte by byte, which is faster than by a view. */
const SHORT_BYTES = 64;

/** Reads numbers. Those at hand are read without a promise. */
export class NumberReader {
  readonly #source: ByteSource;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #isLast = false;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Whether the next number is at hand, or there is none. */
  get isReady(): boolean {
    return this.#bytes.length - this.#at >= MAX_VARINT_BYTES || this.#isLast;
  }

  async prepare(): Promise<void> {
    while (!this.isReady) {
      const piece = await this.#source.read();
      if (piece === undefined) this.#isLast = true;
      else {
        const rest = this.#bytes.length - this.#at;
        const joined = new Uint8Array(rest + piece.length);
        joined.set(this.#bytes.subarray(this.#at));
        joined.set(piece, rest);
        this.#bytes = joined;
        this.#at = 0;
      }
    }
  }

  next(): number {
    let [value, factor] = [0, 1];
    for (let count = 0; count < MAX_VARINT_BYTES; count++) {
      if (this.#at === this.#bytes.length) throw wrongDelta("its operations end too early");
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) {
        if (Number.isSafeInteger(value)) return value;
        break;
      }
      factor *= 128;
    }
    throw wrongDelta("an operation has too large a number");
  }

  async hasMore(): Promise<boolean> {
    await this.prepare();
    return this.#at < this.#bytes.length;
  }
}

/** Reads inserted bytes. Those at hand are read without a promise. */
export class LiteralReader {
  readonly #source: ByteSource;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Gives the next bytes if all of them are at hand. */
  fill(target: Uint8Array, at: number, length: number): boolean {
    const [bytes, from] = [this.#bytes, this.#at];
    if (bytes.length - from < length) return false;
    this.#at += length;
    if (length > SHORT_BYTES) target.set(bytes.subarray(from, from + length), at);
    else for (let i = 0; i < length; i++) target[at + i] = bytes[from + i]!;
    return true;
  }

  async fillLater(target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length;) {
      if (!await this.hasMore()) throw wrongDelta("it has fewer bytes to insert than its operations");
      const length = Math.min(target.length - at, this.#bytes.length - this.#at);
      this.fill(target, at, length);
      at += length;
    }
  }

  async hasMore(): Promise<boolean> {
    if (this.#at < this.#bytes.length) return true;
    const piece = await this.#source.read();
    if (piece === undefined) return false;
    this.#bytes = piece;
    this.#at = 0;
    return true;
  }
}

/**
 * Reads short ranges from a buffer, because most follow each other closely. What a range costs is bounded by its length: the
 * buffer is filled with a few times as many bytes as were used of it before.
 */
export class RangeReader {
  readonly #source: ReadableBytes;
  readonly #buffer = new Uint8Array(CACHE_BYTES);
  #start = 0;
  #length = 0;
  #used = 0;

  constructor(source: ReadableBytes) {
    this.#source = source;
  }

  /** Sets `length` bytes of the target from `at` on. */
  fill(position: number, target: Uint8Array, { at, length }: { at: number; length: number }): void {
    if (length >= CACHE_BYTES / 4) return this.#read(position, target.subarray(at, at + length));
    if (position < this.#start || position + length > this.#start + this.#length) {
      const room = Math.min(CACHE_BYTES, Math.max(LEAST_BYTES, 4 * (this.#used + length)));
      this.#start = Math.max(0, position - (room >> 3));
      this.#length = this.#source.readAt(this.#start, this.#buffer.subarray(0, room));
      this.#used = 0;
      if (position + length > this.#start + this.#length) throw wrongDelta("a base is shorter than it says");
    }
    this.#used += length;
    const [buffer, from] = [this.#buffer, position - this.#start];
    if (length > SHORT_BYTES) target.set(buffer.subarray(from, from + length), at);
    else for (let i = 0; i < length; i++) target[at + i] = buffer[from + i]!;
  }

  /** Gives up the memory of the buffer. No more is read. */
  free(): void {
    free(this.#buffer);
  }

  #read(position: number, target: Uint8Array): void {
    if (this.#source.readAt(position, target) < target.length) throw wrongDelta("a base is shorter than it says");
  }
}

/** The error for a delta whose operations cannot be right. */
export function wrongDelta(reason: string): CorruptError {
  return new CorruptError(cannot("apply the delta", reason));
}
