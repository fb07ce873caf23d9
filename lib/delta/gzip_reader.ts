import { crc32 } from "node:zlib";
import { BitInput, DeflateError } from "./bit_input.ts";
import type { DecodedBlocks } from "./decoded_blocks.ts";
import { DeflateReader } from "./deflate_reader.ts";
import type { MemberWindow } from "./member_window.ts";
import { cannot } from "../oci/error.ts";

/** The longest header of a member that is read: names and comments have no limit of their own (RFC 1952). */
export const MAX_MEMBER_HEADER = 65_536;
const FIXED_HEADER = 10;
const TRAILER = 8;
const [HAS_CHECKSUM, HAS_EXTRA, HAS_NAME, HAS_COMMENT] = [2, 4, 8, 16] as const;

/** Reads the members of a gzip stream (RFC 1952). */
export class GzipReader {
  /** The header of the member that was opened last. */
  header: Uint8Array = new Uint8Array();
  /** The bits between the final block and the trailer of the member that was closed last. */
  padding = 0;
  readonly #input: BitInput;
  readonly #window: MemberWindow;
  readonly #deflate: DeflateReader;
  #crc = 0;

  /** Plain bytes go to the window, everything else to the queue. */
  constructor(source: AsyncIterator<Uint8Array>, window: MemberWindow, decoded: DecodedBlocks) {
    this.#input = new BitInput(source);
    this.#window = window;
    this.#deflate = new DeflateReader({ input: this.#input, window, decoded });
  }

  /** `true` when the next bytes are the start of a member. */
  async hasMember(): Promise<boolean> {
    await this.#input.need(FIXED_HEADER);
    const { bytes, at, available } = this.#input;
    return available >= FIXED_HEADER && bytes[at] === 0x1f && bytes[at + 1] === 0x8b && bytes[at + 2] === 8;
  }

  /** Reads the header of a member. */
  async openMember(): Promise<void> {
    const input = this.#input;
    const flags = input.bytes[input.at + 3]!;
    let length = FIXED_HEADER;
    if (flags & HAS_EXTRA) {
      await this.#needHeader(length + 2);
      length += 2 + (input.bytes[input.at + length]! | input.bytes[input.at + length + 1]! << 8);
    }
    if (flags & HAS_NAME) length = await this.#findZero(length);
    if (flags & HAS_COMMENT) length = await this.#findZero(length);
    if (flags & HAS_CHECKSUM) length += 2;
    await this.#needHeader(length);
    this.header = input.bytes.slice(input.at, input.at + length);
    input.at += length;
    this.#crc = 0;
  }

  /** Decodes as much as there is room for. @returns `true` when the deflate stream of the member has ended */
  async decode(): Promise<boolean> {
    const from = this.#window.length;
    const isEnd = await this.#deflate.decode();
    this.#crc = crc32(this.#window.bytes.subarray(from, this.#window.length), this.#crc);
    return isEnd;
  }

  /** Reads the trailer of a member. @throws {DeflateError} when it contradicts the plain bytes */
  async closeMember(): Promise<void> {
    const input = this.#input;
    this.padding = input.alignToByte();
    input.checkEnd();
    await input.need(TRAILER);
    if (input.available < TRAILER) throw new DeflateError(cannot("read the gzip stream", "it ends too early"));
    const trailer = input.bytes.slice(input.at, input.at + TRAILER);
    input.at += TRAILER;
    const expected = formatTrailer(this.#crc, this.#window.origin + this.#window.length);
    if (trailer.some((byte, index) => byte !== expected[index])) {
      throw new DeflateError(cannot("read the gzip stream", "its checksum or size is wrong"));
    }
  }

  /** Reads what follows the last member. @throws {DeflateError} when it has more than `max` bytes */
  async readRest(max: number): Promise<Uint8Array> {
    const input = this.#input;
    await input.need(max + 1);
    if (input.available > max) throw new DeflateError(cannot("read the gzip stream", "much follows its last member"));
    return input.bytes.slice(input.at, input.end);
  }

  async #findZero(from: number): Promise<number> {
    const input = this.#input;
    for (let length = from;; length++) {
      if (length >= input.available) await this.#needHeader(length + 1);
      if (input.bytes[input.at + length] === 0) return length + 1;
    }
  }

  /** Gives up the memory of the input. No more is read. */
  free(): void {
    this.#input.free();
  }

  async #needHeader(length: number): Promise<void> {
    if (length > MAX_MEMBER_HEADER) throw new DeflateError(cannot("read the gzip stream", "a header is too long"));
    await this.#input.need(length);
    if (this.#input.available < length) throw new DeflateError(cannot("read the gzip stream", "it ends too early"));
  }
}

/** Formats the trailer of a member (RFC 1952 section 2.3.1): the checksum and the size of its plain bytes. */
export function formatTrailer(crc: number, size: number): Uint8Array<ArrayBuffer> {
  const trailer = new Uint8Array(TRAILER);
  const view = new DataView(trailer.buffer);
  view.setUint32(0, crc, true);
  view.setUint32(4, size % 2 ** 32, true);
  return trailer;
}
