import type { ByteReader } from "../bytes/byte_reader.ts";
import { cannot, CorruptError, TruncatedError } from "../oci/error.ts";

const MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const CHECKSUM_BYTES = 4;
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/**
 * Splits a zstd file into frames (RFC 8878, 3.1). The decompressor of node:zlib cannot do it: it drops what follows a
 * frame in the same chunk of input, and does not report that a frame was cut off.
 */
export class ZstdFrames {
  readonly #input: ByteReader;
  readonly #what: string;

  /** @param what name of the file in errors */
  constructor(input: ByteReader, what: string) {
    this.#input = input;
    this.#what = what;
  }

  /**
   * Opens the next frame; `undefined` after the last. The previous frame must have been read to its end.
   *
   * @throws {CorruptError} when other data follows, or, from the frame, when the frame is cut off
   */
  async next(): Promise<Pick<ByteReader, "read" | "cancel"> | undefined> {
    for (;;) {
      const head = await this.#input.peek(4);
      if (head.length === 0) return undefined;
      const magic = head.length < 4 ? 0 : readNumber(head, 0, 4);
      if (magic === MAGIC) return this.#openFrame();
      if ((magic & ~0xf) >>> 0 !== SKIPPABLE_MAGIC) throw this.#refuse("data other than a zstd frame follows");
      await this.#input.skip(4);
      await this.#input.skip(readNumber(await this.#input.readExactly(4), 0, 4));
    }
  }

  #openFrame(): Pick<ByteReader, "read" | "cancel"> {
    const pieces = this.#readFrame();
    return {
      read: async () => (await pieces.next()).value,
      cancel: (reason) => this.#input.cancel(reason),
    };
  }

  async *#readFrame(): AsyncGenerator<Uint8Array, undefined> {
    const descriptor = (await this.#input.peek(5))[4] ?? 0;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const sizeFlag = descriptor >> 6;
    const header = 5 + (isSingleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 3] ?? 0) +
      (sizeFlag === 0 && isSingleSegment ? 1 : CONTENT_SIZE_BYTES[sizeFlag] ?? 0);
    yield await this.#input.readExactly(header);
    for (let isLast = false; !isLast;) {
      const block = await this.#input.readExactly(3);
      yield block;
      const bits = readNumber(block, 0, 3);
      isLast = (bits & 1) === 1;
      const type = (bits >> 1) & 3;
      if (type === 3) throw this.#refuse("a block has a reserved type");
      // An RLE block, type 1, holds only the byte that is repeated.
      yield* this.#readPieces(type === 1 ? 1 : bits >> 3);
    }
    if ((descriptor & 4) !== 0) yield* this.#readPieces(CHECKSUM_BYTES);
    return undefined;
  }

  async *#readPieces(length: number): AsyncGenerator<Uint8Array, void> {
    for (let left = length; left > 0;) {
      const piece = await this.#input.read(left);
      if (piece === undefined) {
        throw new TruncatedError(cannot(`decompress ${this.#what}`, "it is cut off inside a frame"));
      }
      left -= piece.length;
      yield piece;
    }
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(cannot(`decompress ${this.#what}`, reason));
  }
}

function readNumber(bytes: Uint8Array, at: number, length: number): number {
  let value = 0;
  for (let i = length - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
  return value;
}
