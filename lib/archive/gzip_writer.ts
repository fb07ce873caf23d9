import { constants, crc32, deflateRawSync } from "node:zlib";

/** Accepts bytes in order. The caller may reuse the buffer once the promise has resolved. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void> | void;
}

/** Largest content of a stored block in bytes (RFC 1951, 3.2.4). All blocks but the last have this size. */
export const STORED_BYTES = 65_535;
/** Size of a stored block's header, in bytes. */
export const STORED_HEADER_BYTES = 5;
const BLOCKS = 16;
const BUFFER_BYTES = BLOCKS * (STORED_HEADER_BYTES + STORED_BYTES);

// RFC 1952, 2.3: deflate, an extra field, no time, slowest compression, operating system "unknown".
const HEADER = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 2, 255];
// RFC 1952, 2.3.1.1: one subfield, crpe's own, with two 32-bit numbers.
const EXTRA = [12, 0, 0x43, 0x52, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const TRAILER_BYTES = 8;

/** The state from which a gzip member can be resumed at the end of a block. */
export interface GzipState {
  /** Size of the file so far, in bytes. */
  readonly size: number;
  /** CRC-32 of the content so far. */
  readonly crc: number;
  /** Size of the content so far, in bytes. */
  readonly length: number;
}

/** The beginning of a gzip member: header and compressed documents. */
export interface GzipHead {
  readonly bytes: Uint8Array;
  readonly state: GzipState;
}

/**
 * Formats the beginning of a gzip member: its header and the documents, compressed. The extra field `CR` holds the size
 * of the compressed documents. Only stored blocks of 65,535 bytes follow them, so that the position of every byte is
 * known. The field also holds the CRC-32 of the documents, their only checksum when a reader skips blobs.
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
 * Writes the content of a gzip member after its head, in stored blocks: layers are compressed already, and a stored block
 * costs only a copy and a CRC-32. One buffer is filled while the other is written.
 */
export class GzipWriter {
  readonly #sink: ByteSink;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #spare = new Uint8Array(BUFFER_BYTES);
  /** Position of the next byte in the buffer; 0 when the buffer is empty. */
  #at = 0;
  /** Position of the current block's header in the buffer. */
  #block = 0;
  #crc: number;
  #length: number;
  #written: Promise<void> | void = undefined;
  #size: number;

  /** @param state what was written before: the head alone, or more of a resumed file */
  constructor(sink: ByteSink, state: GzipState) {
    this.#sink = sink;
    this.#crc = state.crc;
    this.#length = state.length;
    this.#size = state.size;
  }

  /** Bytes of the member that were passed to the sink so far. */
  get size(): number {
    return this.#size;
  }

  /** Appends bytes uncompressed. The caller may reuse the buffer once the promise has resolved. */
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

  /** Ends the member, and waits until all of it is written. */
  async finish(): Promise<void> {
    await this.#flush();
    await this.#send(formatGzipEnd({ crc: this.#crc, length: this.#length }));
    await this.#written;
  }

  /** Waits until the pending write has ended or failed. Call this before giving up on the file after an error. */
  async settle(): Promise<void> {
    try {
      await this.#written;
    } catch {
      // The caller already handles an earlier error.
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
    // The promise is awaited with the next bytes. Until then a rejection must not count as unhandled.
    this.#written?.catch(() => {});
  }
}

/** Formats the end of a member: an empty stored block with BFINAL, and the trailer. */
export function formatGzipEnd({ crc, length }: Pick<GzipState, "crc" | "length">): Uint8Array {
  const end = new Uint8Array(STORED_HEADER_BYTES + TRAILER_BYTES);
  end.set([1, 0, 0, 0xff, 0xff]);
  const view = new DataView(end.buffer);
  view.setUint32(STORED_HEADER_BYTES, crc, true);
  view.setUint32(STORED_HEADER_BYTES + 4, length % 2 ** 32, true);
  return end;
}

/** Returns the bytes that `stored` bytes of content take in the file, up to the end of the member. */
export function sizeOfRest(stored: number): number {
  const blocks = Math.ceil(stored / STORED_BYTES) + 1;
  return stored + blocks * STORED_HEADER_BYTES + TRAILER_BYTES;
}

/** Deflates bytes into blocks that end at a byte boundary and do not end the stream. */
function compressBlocks(bytes: Uint8Array): Uint8Array {
  return deflateRawSync(bytes, { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
}
