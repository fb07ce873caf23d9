import { constants, crc32, createInflateRaw } from "node:zlib";
import type { ByteReader, ByteSource } from "../bytes/byte_reader.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { StoredBlocks } from "./stored_blocks.ts";
import { CHUNK_BYTES, TransformSource } from "./zlib_source.ts";

/** The decompressed data of a gzip member, without header and trailer. */
interface GzipMember extends ByteSource {
  /** At the end of the member: input that was already read but lies behind the member. */
  readonly leftOver: Uint8Array;
  /** Skips bytes without reading them. @returns the number of bytes skipped; 0 where they have to be read */
  skip?(length: number): Promise<number>;
}

/** The contents of the extra field `CR`: where the leading documents of a bundle's gzip member end. */
interface MemberHead {
  /** Bytes of deflate data before the first stored block with blobs. */
  readonly size: number;
  /** CRC-32 of the documents. */
  readonly crc: number;
}

const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };
const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/** Longest name or comment in a header, in bytes. Both are ignored. */
const MAX_TEXT_BYTES = 64 * 1024;

/**
 * Decompresses the members of a gzip file one after the other (RFC 1952). Zero bytes after the last member are padding,
 * as for gzip itself.
 *
 * It does not use `createGunzip`, which verifies a member before it returns the member's end: after a flipped bit in a
 * small file, none of the content could be read to say what is broken.
 *
 * The header of a bundle that crpe packed says where the stored blocks begin, so that blobs of a seekable file can be
 * skipped. The checksum over all bytes cannot be verified then. The checksum of the documents before the blobs, the
 * length and the presence of the end are verified in any case.
 */
export class GzipSource implements ByteSource {
  readonly #input: ByteReader;
  readonly #what: string;
  readonly #chunkBytes: number;
  #member: GzipMember | undefined;
  #isFirst = true;
  #crc = 0;
  #size = 0;
  #isSkipped = false;
  #hasDocumentSize = false;

  /**
   * @param what name of the input in errors
   * @param chunkBytes size of the decompressed pieces
   */
  constructor(input: ByteReader, what: string, chunkBytes = CHUNK_BYTES) {
    this.#input = input;
    this.#what = what;
    this.#chunkBytes = chunkBytes;
  }

  /** @throws {CorruptError} when the file is damaged or cut off, or other data follows the end */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#member === undefined && !await this.#openMember()) return undefined;
      const piece = await this.#member!.read();
      if (piece === undefined) await this.#closeMember();
      else {
        this.#crc = crc32(piece, this.#crc);
        this.#size = (this.#size + piece.length) % 2 ** 32;
        return piece;
      }
    }
  }

  /**
   * Skips bytes without reading them.
   *
   * @returns the number of bytes skipped; 0 where they have to be read
   * @throws {CorruptError} when there is no stored block where one has to be
   */
  async skip(length: number): Promise<number> {
    const skipped = await this.#member?.skip?.(length) ?? 0;
    if (skipped > 0) this.#isSkipped = true;
    this.#size = (this.#size + skipped) % 2 ** 32;
    return skipped;
  }

  giveUpChunks(isOn: boolean): void {
    this.#member?.giveUpChunks?.(isOn);
  }

  /** Whether the first member has the extra field in which crpe writes the size of the documents. */
  get hasDocumentSize(): boolean {
    return this.#hasDocumentSize;
  }

  async cancel(reason?: unknown): Promise<void> {
    await this.#member?.cancel(reason);
    await this.#input.cancel(reason);
  }

  async #openMember(): Promise<boolean> {
    const magic = await this.#input.peek(2);
    if (magic.length === 0 || (!this.#isFirst && magic.every((byte) => byte === 0))) {
      await this.#skipPadding();
      return false;
    }
    if (magic[0] !== 0x1f || magic[1] !== 0x8b) throw this.#refuse("data other than gzip follows");
    const header = await this.#input.readExactly(HEADER_BYTES);
    const flags = header[3]!;
    if (header[2] !== 8 || (flags & FLAG.reserved) !== 0) throw this.#refuse("its compression method is unknown");
    let head: MemberHead | undefined;
    if (flags & FLAG.extra) {
      const [low = 0, high = 0] = await this.#input.readExactly(2);
      head = findHead(await this.#input.readExactly(low + high * 256));
    }
    if (flags & FLAG.name) await this.#skipText();
    if (flags & FLAG.comment) await this.#skipText();
    if (flags & FLAG.headerCrc) await this.#input.skip(2);
    if (this.#isFirst) this.#hasDocumentSize = head !== undefined;
    this.#isFirst = false;
    this.#crc = this.#size = 0;
    this.#isSkipped = false;
    this.#member =
      this.#input.isSeekable && head !== undefined && await StoredMember.startsWithStoredBlocks(this.#input, head)
        ? new StoredMember(this.#input, head, this.#what)
        : new TransformSource(this.#input, createInflateRaw({ chunkSize: this.#chunkBytes }), this.#what);
    return true;
  }

  async #closeMember(): Promise<void> {
    this.#input.unread(this.#member!.leftOver);
    this.#member = undefined;
    const trailer = await this.#input.readExactly(TRAILER_BYTES);
    const view = new DataView(trailer.buffer, trailer.byteOffset, TRAILER_BYTES);
    if (!this.#isSkipped && view.getUint32(0, true) !== this.#crc) {
      throw this.#refuse("its checksum does not match the data");
    }
    if (view.getUint32(4, true) !== this.#size) throw this.#refuse("its length does not match the data");
  }

  async #skipText(): Promise<void> {
    for (let length = 0; length < MAX_TEXT_BYTES; length++) {
      if ((await this.#input.readExactly(1))[0] === 0) return;
    }
    throw this.#refuse(`its header has a name or comment of more than ${MAX_TEXT_BYTES} bytes`);
  }

  async #skipPadding(): Promise<void> {
    for (let piece = await this.#input.read(CHUNK_BYTES); piece !== undefined;) {
      if (piece.some((byte) => byte !== 0)) throw this.#refuse("data other than gzip follows");
      piece = await this.#input.read(CHUNK_BYTES);
    }
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(cannot(`decompress ${this.#what}`, reason));
  }
}

/** A member that starts with compressed documents, followed by stored blocks only. */
class StoredMember implements GzipMember {
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

// The subfield "CR" (RFC 1952, 2.3.1.1), as `formatGzipHead` writes it.
function findHead(extra: Uint8Array): MemberHead | undefined {
  const view = new DataView(extra.buffer, extra.byteOffset, extra.length);
  for (let at = 0; at + 4 <= extra.length;) {
    const length = view.getUint16(at + 2, true);
    const isOurs = extra[at] === 0x43 && extra[at + 1] === 0x52 && length === 8 && at + 12 <= extra.length;
    if (isOurs) return { size: view.getUint32(at + 4, true), crc: view.getUint32(at + 8, true) };
    at += 4 + length;
  }
  return undefined;
}
