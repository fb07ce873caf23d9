import type { ByteReader } from "../bytes/byte_reader.ts";
import { cannot, CorruptError, TruncatedError } from "../oci/error.ts";
import { STORED_BYTES, STORED_HEADER_BYTES } from "./gzip_writer.ts";
import { CHUNK_BYTES } from "./zlib_source.ts";

interface BlockHeader {
  readonly isFinal: boolean;
  readonly length: number;
}

/**
 * Reads the stored blocks of a deflate stream up to the end of the final one. When it skips bytes, it assumes blocks of
 * the size that crpe writes, computes the position of the target block, and checks that a block header is there.
 */
export class StoredBlocks {
  readonly #input: ByteReader;
  readonly #what: string;
  /** Unread bytes of the current block. */
  #left = 0;
  #isFinal = false;

  /** @param what name of the input in errors */
  constructor(input: ByteReader, what: string) {
    this.#input = input;
    this.#what = what;
  }

  /** Tests whether bytes are the header of a stored block. */
  static isHeader(bytes: Uint8Array): boolean {
    return parseHeader(bytes) !== undefined;
  }

  /** Returns the next bytes; `undefined` at the end. @throws {CorruptError} when there is no stored block */
  async read(): Promise<Uint8Array | undefined> {
    if (!await this.#openBlock()) return undefined;
    const piece = await this.#input.read(CHUNK_BYTES);
    if (piece === undefined) {
      throw new TruncatedError(cannot(`decompress ${this.#what}`, "it is cut off inside a block"));
    }
    let from = Math.min(this.#left, piece.length);
    let length = from;
    this.#left -= from;
    // The contents of the following blocks are moved up, over the block headers.
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

  /**
   * Skips up to `length` bytes.
   *
   * @returns the number of bytes skipped; 0 at the end
   * @throws {CorruptError} when there is no stored block where one has to be
   */
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
      // Blocks of other sizes are skipped one at a time.
      const skipped = this.#left;
      await this.#input.skip(skipped);
      this.#left = 0;
      return skipped;
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
    // A shorter block can only be the last with content: the empty final block follows.
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
    if (header === undefined) throw this.#refuse("there is no stored block where its blobs continue");
    this.#left = header.length;
    this.#isFinal = header.isFinal;
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(cannot(`decompress ${this.#what}`, reason));
  }
}

// BFINAL, BTYPE 00 and padding, then LEN and its complement.
function parseHeader(bytes: Uint8Array): BlockHeader | undefined {
  if (bytes.length < STORED_HEADER_BYTES) return undefined;
  const [flags = 0, a = 0, b = 0, c = 0, d = 0] = bytes;
  if ((flags & 0xfe) !== 0 || (a ^ c) !== 0xff || (b ^ d) !== 0xff) return undefined;
  return { isFinal: flags === 1, length: a + b * 256 };
}
