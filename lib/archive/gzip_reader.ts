import { crc32 } from "node:zlib";
import type { ByteReader, ByteSource } from "../bytes/byte_reader.ts";
import { CorruptError } from "../oci/error.ts";
import { type GzipMember, type MemberHead, openMember, StoredMember } from "./gzip_member.ts";
import { CHUNK_BYTES } from "./zlib_source.ts";

const FLAG = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };
const HEADER_BYTES = 10;
const TRAILER_BYTES = 8;
/** Longest name or comment in a header; nobody reads them. */
const MAX_TEXT_BYTES = 64 * 1024;

/**
 * Decompresses one gzip member after the other (RFC 1952); zero bytes behind the last are padding, as they are to gzip.
 *
 * Not with `createGunzip`, which checks a member before it hands out the end of it: where a bit has flipped in a small
 * file, nothing of the file could be looked at to say what is broken.
 *
 * A bundle of ours says in its header where its stored blocks begin: of a file what nobody needs is passed over there. The
 * check sum cannot be told then; that of the documents before the blobs, the length, and that the end is there, are checked
 * all the same.
 */
export class GzipSource implements ByteSource {
  readonly #input: ByteReader;
  readonly #what: string;
  #member: GzipMember | undefined;
  #isFirst = true;
  #crc = 0;
  #size = 0;
  #isSkipped = false;

  /** @param what names the bytes in errors */
  constructor(input: ByteReader, what: string) {
    this.#input = input;
    this.#what = what;
  }

  /** @throws {CorruptError} */
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

  /** Passes over bytes that nobody needs. @returns how many; 0 where they have to be read. @throws {CorruptError} */
  async skip(length: number): Promise<number> {
    const passed = await this.#member?.skip(length) ?? 0;
    if (passed > 0) this.#isSkipped = true;
    this.#size = (this.#size + passed) % 2 ** 32;
    return passed;
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
    if (magic[0] !== 0x1f || magic[1] !== 0x8b) throw this.#refuse("something other than gzip follows");
    const header = await this.#input.readExactly(HEADER_BYTES);
    const flags = header[3]!;
    if (header[2] !== 8 || (flags & FLAG.reserved) !== 0) throw this.#refuse("an unknown compression method");
    let head: MemberHead | undefined;
    if (flags & FLAG.extra) {
      const [low = 0, high = 0] = await this.#input.readExactly(2);
      head = findHead(await this.#input.readExactly(low + high * 256));
    }
    if (flags & FLAG.name) await this.#skipText();
    if (flags & FLAG.comment) await this.#skipText();
    if (flags & FLAG.headerCrc) await this.#input.skip(2);
    this.#isFirst = false;
    this.#crc = this.#size = 0;
    this.#isSkipped = false;
    this.#member =
      this.#input.isSeekable && head !== undefined && await StoredMember.startsWithStoredBlocks(this.#input, head)
        ? new StoredMember(this.#input, head, this.#what)
        : openMember(this.#input, this.#what);
    return true;
  }

  async #closeMember(): Promise<void> {
    this.#input.unread(this.#member!.leftOver);
    this.#member = undefined;
    const trailer = await this.#input.readExactly(TRAILER_BYTES);
    const view = new DataView(trailer.buffer, trailer.byteOffset, TRAILER_BYTES);
    if (!this.#isSkipped && view.getUint32(0, true) !== this.#crc) {
      throw this.#refuse("its check sum is not that of the data");
    }
    if (view.getUint32(4, true) !== this.#size) throw this.#refuse("its length is not that of the data");
  }

  async #skipText(): Promise<void> {
    for (let length = 0; length < MAX_TEXT_BYTES; length++) {
      if ((await this.#input.readExactly(1))[0] === 0) return;
    }
    throw this.#refuse("its header has too long a text");
  }

  async #skipPadding(): Promise<void> {
    for (let piece = await this.#input.read(CHUNK_BYTES); piece !== undefined;) {
      if (piece.some((byte) => byte !== 0)) throw this.#refuse("something other than gzip follows");
      piece = await this.#input.read(CHUNK_BYTES);
    }
  }

  #refuse(reason: string): CorruptError {
    return new CorruptError(`Cannot decompress ${this.#what}: ${reason}`);
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
