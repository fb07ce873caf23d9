import { constants, crc32, createInflateRaw } from "node:zlib";
import type { ByteReader, ByteSource } from "../bytes/byte_reader.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { StoredBlocks } from "./stored_blocks.ts";
import { CHUNK_BYTES, TransformSource } from "./zlib_source.ts";

/** The decompressed data of a gzip member, without header and trailer. */
export interface GzipMember extends ByteSource {
  /** At the end of the member: input that was already read but lies behind the member. */
  readonly leftOver: Uint8Array;
  /** Skips bytes without reading them. @returns the number of bytes skipped; 0 where they have to be read */
  skip(length: number): Promise<number>;
}

/** The contents of the extra field `CR`: where the leading documents of a bundle's gzip member end. */
export interface MemberHead {
  /** Bytes of deflate data before the first stored block with blobs. */
  readonly size: number;
  /** CRC-32 of the documents. */
  readonly crc: number;
}

/** Opens a member of unknown layout. @param chunkSize size of its pieces in bytes */
export function openMember(input: ByteReader, what: string, chunkSize: number): GzipMember {
  return Object.assign(new TransformSource(input, createInflateRaw({ chunkSize }), what), {
    skip: () => Promise.resolve(0),
  });
}

/** A member that starts with compressed documents, followed by stored blocks only. */
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

  /** @param what name of the input in errors */
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
    // The compressed documents end with a flush, not with a final block.
    const inflate = createInflateRaw({ chunkSize: CHUNK_BYTES, finishFlush: constants.Z_SYNC_FLUSH });
    this.#head = new TransformSource(limited, inflate, what);
  }

  /** Tests whether the stored blocks begin where the member's header says. */
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
        throw new CorruptError(cannot(`decompress ${this.#what}`, "its blobs do not begin where its header says"));
      }
      // No digest covers the documents, and the checksum at the end cannot be verified when blobs are skipped.
      if (this.#crc !== this.#expectedCrc) {
        throw new CorruptError(
          cannot(`decompress ${this.#what}`, "its documents do not match the checksum in its header"),
        );
      }
      this.#isHead = false;
    }
    return await this.#blocks.read();
  }

  async skip(length: number): Promise<number> {
    return this.#isHead ? 0 : await this.#blocks.skip(length);
  }

  giveUpChunks(isOn: boolean): void {
    this.#input.giveUpChunks(isOn);
  }

  async cancel(reason?: unknown): Promise<void> {
    if (this.#isHead) await this.#head.cancel(reason);
    await this.#input.cancel(reason);
  }
}
