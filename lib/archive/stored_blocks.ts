import type { ByteReader } from "../bytes/byte_reader.ts";
import { CorruptError, TruncatedError } from "../oci/error.ts";
import { STORED_BYTES, STORED_HEADER_BYTES } from "./gzip_writer.ts";
import { CHUNK_BYTES } from "./zlib_source.ts";

interface BlockHeader {
  readonly isFinal: boolean;
  readonly length: number;
}

/**
 * Reads the stored blocks of a deflate stream up to the end of the final one. Where nobody needs the bytes, and the blocks
 * are as long as a bundle's are, it computes where to read on, and looks whether a block's header is there.
 */
export class StoredBlocks {
  readonly #input: ByteReader;
  readonly #what: string;
  /** Of the block that is being read. */
  #left = 0;
  #isFinal = false;

  /** @param what names the bytes in errors */
  constructor(input: ByteReader, what: string) {
    this.#input = input;
    this.#what = what;
  }

  /** Tells whether bytes are the header of a stored block. */
  static isHeader(bytes: Uint8Array): boolean {
    return parseHeader(bytes) !== undefined;
  }

  /** The next bytes; `undefined` at the end. @throws {CorruptError} */
  async read(): Promise<Uint8Array | undefined> {
    if (!await this.#openBlock()) return undefined;
    const piece = await this.#input.read(CHUNK_BYTES);
    if (piece === undefined) {
      throw new TruncatedError(`Cannot decompress ${this.#what}: it ends in the middle of a block`);
    }
    let from = Math.min(this.#left, piece.length);
    let length = from;
    this.#left -= from;
    // What comes of the blocks behind this one is moved up, over their headers.
    while (this.#left === 0 && !this.#isFinal && piece.length - from >= STORED_HEADER_BYTES) {
      this.#enter(piece.subarray(from, from + STORED_HEADER_BYTES));
      from += STORED_HEADER_BYTES;
      const count = Math.min(this.#left, piece.length - from);
      piece.copyWithin(length, from, from + count);
      from += count;
      length += count;
      this.#left -= count;
    }
    if (from < piece.length) this.#input.unread(piece.subarray(from));
    return piece.subarray(0, length);
  }

  /** Passes over up to `length` bytes. @returns how many; 0 at the end. @throws {CorruptError} */
  async skip(length: number): Promise<number> {
    if (!await this.#openBlock()) return 0;
    const ahead = length - this.#left;
    if (ahead <= 0) {
      await this.#input.skip(length);
      this.#left -= length;
      return length;
    }
    const rest = ahead % STORED_BYTES;
    const distance = this.#left + (ahead - rest) / STORED_BYTES * (STORED_BYTES + STORED_HEADER_BYTES);
    if (!await this.#isBlockAt(distance, rest)) {
      // Blocks of other sizes: one after the other.
      const passed = this.#left;
      await this.#input.skip(passed);
      this.#left = 0;
      return passed;
    }
    await this.#input.skip(distance);
    this.#enter(await this.#input.readExactly(STORED_HEADER_BYTES));
    await this.#input.skip(rest);
    this.#left -= rest;
    return length;
  }

  async #isBlockAt(distance: number, least: number): Promise<boolean> {
    const header = parseHeader(await this.#input.peekAt(distance, STORED_HEADER_BYTES));
    if (header === undefined || header.length < least) return false;
    if (header.length === STORED_BYTES || header.isFinal) return true;
    // A shorter one can only be the last but the empty one.
    const next = await this.#input.peekAt(distance + STORED_HEADER_BYTES + header.length, STORED_HEADER_BYTES);
    return parseHeader(next)?.isFinal ?? false;
  }

  async #openBlock(): Promise<boolean> {
    while (this.#left === 0) {
      if (this.#isFinal) return false;
      this.#enter(await this.#input.readExactly(STORED_HEADER_BYTES));
    }
    return true;
  }

  #enter(bytes: Uint8Array): void {
    const header = parseHeader(bytes);
    if (header === undefined) throw this.#refuse("a block among its blobs is not a stored one");
    this.#left = header.length;
    this.#isFinal = header.isFinal;
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(`Cannot decompress ${this.#what}: ${reason}`);
  }
}

// BFINAL, BTYPE 00 and padding, then LEN and its complement.
function parseHeader(bytes: Uint8Array): BlockHeader | undefined {
  if (bytes.length < STORED_HEADER_BYTES) return undefined;
  const [flags = 0, a = 0, b = 0, c = 0, d = 0] = bytes;
  if ((flags & 0xfe) !== 0 || (a ^ c) !== 0xff || (b ^ d) !== 0xff) return undefined;
  return { isFinal: flags === 1, length: a + b * 256 };
}
