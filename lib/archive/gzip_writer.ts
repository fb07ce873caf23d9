import { constants, crc32, deflateRawSync } from "node:zlib";

/** Takes bytes, in order. They may be changed once the promise has resolved. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void> | void;
}

/** Most bytes of a stored block (RFC 1951, 3.2.4); all but the last one have them. */
export const STORED_BYTES = 65_535;
/** Bytes before the content of a stored block. */
export const STORED_HEADER_BYTES = 5;
const BLOCKS = 16;
const BUFFER_BYTES = BLOCKS * (STORED_HEADER_BYTES + STORED_BYTES);

// RFC 1952, 2.3: deflate, an extra field, no time, the slowest compression, and "unknown" for the operating system.
const HEADER = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 2, 255];
// RFC 1952, 2.3.1.1: one subfield of ours with two numbers of 32 bits.
const EXTRA = [12, 0, 0x43, 0x52, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const TRAILER_BYTES = 8;

/** How far a gzip member is: what is needed to go on with it behind a whole block. */
export interface GzipState {
  /** Bytes of the file. */
  readonly size: number;
  /** CRC-32 of the content. */
  readonly crc: number;
  /** Bytes of the content. */
  readonly length: number;
}

/** The beginning of a gzip member: documents, compressed. */
export interface GzipHead {
  readonly bytes: Uint8Array;
  readonly state: GzipState;
}

/**
 * Begins a gzip member with documents, which are compressed. Its extra field `CR` says how many bytes of deflate data they
 * take: behind them there are only stored blocks of 65,535 bytes, so that the place of every byte is known. It also has the
 * CRC-32 of the documents: nothing else vouches for them where a reader passes over blobs.
 */
export function formatGzipHead(documents: Uint8Array): GzipHead {
  const compressed = compressBlocks(documents);
  const start = HEADER.length + EXTRA.length;
  const bytes = new Uint8Array(start + compressed.length);
  bytes.set([...HEADER, ...EXTRA]);
  const view = new DataView(bytes.buffer);
  const crc = crc32(documents);
  view.setUint32(start - 8, compressed.length, true);
  view.setUint32(start - 4, crc, true);
  bytes.set(compressed, start);
  return { bytes, state: { size: bytes.length, crc, length: documents.length } };
}

/**
 * Writes the content of a gzip member behind its head. What is compressed already (a layer) is put into stored blocks, which
 * costs a copy and a CRC-32. While one buffer is being written the next one is filled.
 */
export class GzipWriter {
  readonly #sink: ByteSink;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #spare = new Uint8Array(BUFFER_BYTES);
  /** Where the next byte goes; 0 when the buffer is empty. */
  #at = 0;
  /** Where the header of the block that is being filled is. */
  #block = 0;
  #crc: number;
  #length: number;
  #written: Promise<void> | void = undefined;
  #size: number;

  /** @param state what is there already, and was written before */
  constructor(sink: ByteSink, state: GzipState) {
    this.#sink = sink;
    this.#crc = state.crc;
    this.#length = state.length;
    this.#size = state.size;
  }

  /** How many bytes of the member went out so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes as they are; they may be changed once the promise has resolved. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#crc = crc32(bytes, this.#crc);
    this.#length += bytes.length;
    for (let from = 0; from < bytes.length;) {
      if (this.#at === BUFFER_BYTES) await this.#flush();
      if (this.#at === 0 || this.#at === this.#block + STORED_HEADER_BYTES + STORED_BYTES) this.#openBlock();
      const room = this.#block + STORED_HEADER_BYTES + STORED_BYTES - this.#at;
      const piece = bytes.subarray(from, from + room);
      this.#buffer.set(piece, this.#at);
      this.#at += piece.length;
      from += piece.length;
    }
  }

  /** Ends the member and waits until all of it is written. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#send(formatGzipEnd({ crc: this.#crc, length: this.#length }));
    await this.#written;
  }

  /** Waits until what was handed on is written, or has failed: for whoever gives up. */
  async settle(): Promise<void> {
    try {
      await this.#written;
    } catch {
      // Whoever gives up knows of something worse.
    }
  }

  #openBlock(): void {
    this.#closeBlock();
    this.#block = this.#at;
    this.#at += STORED_HEADER_BYTES;
  }

  // BFINAL 0 and BTYPE 00 in the first byte, then LEN and its complement.
  #closeBlock(): void {
    if (this.#at === 0) return;
    const length = this.#at - this.#block - STORED_HEADER_BYTES;
    const view = new DataView(this.#buffer.buffer, this.#block, STORED_HEADER_BYTES);
    view.setUint8(0, 0);
    view.setUint16(1, length, true);
    view.setUint16(3, ~length & 0xffff, true);
  }

  async #flush(): Promise<void> {
    if (this.#at === 0) return;
    this.#closeBlock();
    await this.#send(this.#buffer.subarray(0, this.#at));
    [this.#buffer, this.#spare] = [this.#spare, this.#buffer];
    this.#at = 0;
    this.#block = 0;
  }

  async #send(bytes: Uint8Array): Promise<void> {
    await this.#written;
    this.#size += bytes.length;
    this.#written = this.#sink.write(bytes);
    // It is awaited only when the next bytes are due: until then a failure must not count as unhandled.
    this.#written?.catch(() => {});
  }
}

/** How a member ends: an empty stored block with BFINAL, and the trailer. */
export function formatGzipEnd({ crc, length }: Pick<GzipState, "crc" | "length">): Uint8Array {
  const end = new Uint8Array(STORED_HEADER_BYTES + TRAILER_BYTES);
  end.set([1, 0, 0, 0xff, 0xff]);
  const view = new DataView(end.buffer);
  view.setUint32(STORED_HEADER_BYTES, crc, true);
  view.setUint32(STORED_HEADER_BYTES + 4, length % 2 ** 32, true);
  return end;
}

/** How many bytes are still to come when `stored` bytes are to be written as they are, up to the end of the member. */
export function sizeOfRest(stored: number): number {
  const blocks = Math.ceil(stored / STORED_BYTES) + 1;
  return stored + blocks * STORED_HEADER_BYTES + TRAILER_BYTES;
}

/** Deflates bytes into blocks that end at a byte's boundary and do not end the stream. */
function compressBlocks(bytes: Uint8Array): Uint8Array {
  return deflateRawSync(bytes, { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
}
