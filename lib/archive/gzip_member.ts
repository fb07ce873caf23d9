import { constants, crc32, createInflateRaw } from "node:zlib";
import type { ByteReader, ByteSource } from "../bytes/byte_reader.ts";
import { CorruptError } from "../oci/error.ts";
import { StoredBlocks } from "./stored_blocks.ts";
import { CHUNK_BYTES, TransformSource } from "./zlib_source.ts";

/** What a gzip member has between its header and its trailer, decompressed. */
export interface GzipMember extends ByteSource {
  /** When it has ended: input that was taken but lies behind it. */
  readonly leftOver: Uint8Array;
  /** Passes over bytes without reading them; 0 where they have to be read. */
  skip(length: number): Promise<number>;
}

/** What the header of a bundle's member says of the documents that it begins with. */
export interface MemberHead {
  /** How many bytes of deflate data there are before the first stored block that holds blobs. */
  readonly size: number;
  /** CRC-32 of the documents. */
  readonly crc: number;
}

/** Opens a member of which nothing is known. */
export function openMember(input: ByteReader, what: string): GzipMember {
  return Object.assign(new TransformSource(input, createInflateRaw({ chunkSize: CHUNK_BYTES }), what), {
    skip: () => Promise.resolve(0),
  });
}

/** A member that begins with some compressed documents, and has nothing but stored blocks behind them. */
export class StoredMember implements GzipMember {
  readonly leftOver = new Uint8Array(0);
  readonly #input: ByteReader;
  readonly #blocks: StoredBlocks;
  readonly #head: TransformSource;
  readonly #what: string;
  readonly #expectedCrc: number;
  #crc = 0;
  #headLeft: number;
  #isHead = true;

  /** @param what names the bytes in errors */
  constructor(input: ByteReader, { size, crc }: MemberHead, what: string) {
    this.#input = input;
    this.#headLeft = size;
    this.#expectedCrc = crc;
    this.#what = what;
    this.#blocks = new StoredBlocks(input, what);
    const limited = {
      read: async (max: number) => {
        const piece = this.#headLeft === 0 ? undefined : await input.read(Math.min(max, this.#headLeft));
        this.#headLeft -= piece?.length ?? 0;
        return piece;
      },
      cancel: () => Promise.resolve(),
    };
    // The head ends with a flush, not with a final block.
    const inflate = createInflateRaw({ chunkSize: CHUNK_BYTES, finishFlush: constants.Z_SYNC_FLUSH });
    this.#head = new TransformSource(limited, inflate, what);
  }

  /** Tells whether stored blocks begin where the header of the member says it. */
  static async startsWithStoredBlocks(input: ByteReader, { size }: MemberHead): Promise<boolean> {
    return size > 0 && StoredBlocks.isHeader(await input.peekAt(size, 5));
  }

  async read(): Promise<Uint8Array | undefined> {
    if (this.#isHead) {
      const piece = await this.#head.read();
      if (piece !== undefined) {
        this.#crc = crc32(piece, this.#crc);
        return piece;
      }
      if (this.#headLeft > 0 || this.#head.leftOver.length > 0) {
        throw new CorruptError(`Cannot decompress ${this.#what}: its blobs do not begin where its header says it`);
      }
      // The check sum at the end is not told where blobs are passed over, and no digest vouches for the documents.
      if (this.#crc !== this.#expectedCrc) {
        throw new CorruptError(
          `Cannot decompress ${this.#what}: its documents do not have the check sum in its header`,
        );
      }
      this.#isHead = false;
    }
    return await this.#blocks.read();
  }

  async skip(length: number): Promise<number> {
    return this.#isHead ? 0 : await this.#blocks.skip(length);
  }

  async cancel(reason?: unknown): Promise<void> {
    if (this.#isHead) await this.#head.cancel(reason);
    await this.#input.cancel(reason);
  }
}
