import { constants, crc32, deflateRawSync } from "node:zlib";

/** Takes bytes, in order. They may be changed once the promise has resolved. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void> | void;
}

/** Most bytes of a stored block (RFC 1951, 3.2.4). */
const BLOCK_BYTES = 65_535;
const BLOCK_HEADER_BYTES = 5;
const BLOCKS = 16;
const BUFFER_BYTES = BLOCKS * (BLOCK_HEADER_BYTES + BLOCK_BYTES);

// RFC 1952, 2.3: deflate, no flags, no time, the slowest compression, and "unknown" for the operating system.
const HEADER = new Uint8Array([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
const TRAILER_BYTES = 8;

/**
 * Writes one gzip member. What is compressed already (a layer) is put into stored blocks, which costs a copy and a
 * CRC-32; what is worth it is compressed. While one buffer is being written the next one is filled.
 */
export class GzipWriter {
  readonly #sink: ByteSink;
  #buffer = new Uint8Array(BUFFER_BYTES);
  #spare = new Uint8Array(BUFFER_BYTES);
  /** Where the next byte goes; 0 when the buffer is empty. */
  #at = 0;
  /** Where the header of the block that is being filled is. */
  #block = 0;
  #crc = 0;
  #length = 0;
  #written: Promise<void> | void = undefined;
  #size = 0;
  #isBegun = false;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** How many bytes went out so far. */
  get size(): number {
    return this.#size;
  }

  /** Adds bytes as they are; they may be changed once the promise has resolved. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#count(bytes);
    for (let from = 0; from < bytes.length;) {
      if (this.#at === BUFFER_BYTES) await this.#flush();
      if (this.#at === 0 || this.#at === this.#block + BLOCK_HEADER_BYTES + BLOCK_BYTES) this.#openBlock();
      const room = this.#block + BLOCK_HEADER_BYTES + BLOCK_BYTES - this.#at;
      const piece = bytes.subarray(from, from + room);
      this.#buffer.set(piece, this.#at);
      this.#at += piece.length;
      from += piece.length;
    }
  }

  /** Adds bytes compressed; for documents, since it takes them whole. */
  async writeCompressed(bytes: Uint8Array): Promise<void> {
    this.#count(bytes);
    await this.#flush();
    await this.#send(compressBlocks(bytes));
  }

  /** Ends the member and waits until all of it is written. */
  async finish(): Promise<void> {
    await this.#flush();
    const end = new Uint8Array(BLOCK_HEADER_BYTES + TRAILER_BYTES);
    // An empty stored block with BFINAL.
    end.set([1, 0, 0, 0xff, 0xff]);
    const view = new DataView(end.buffer);
    view.setUint32(BLOCK_HEADER_BYTES, this.#crc, true);
    view.setUint32(BLOCK_HEADER_BYTES + 4, this.#length % 2 ** 32, true);
    await this.#send(end);
    await this.#written;
  }

  #count(bytes: Uint8Array): void {
    this.#crc = crc32(bytes, this.#crc);
    this.#length += bytes.length;
  }

  #openBlock(): void {
    this.#closeBlock();
    this.#block = this.#at;
    this.#at += BLOCK_HEADER_BYTES;
  }

  // BFINAL 0 and BTYPE 00 in the first byte, then LEN and its complement.
  #closeBlock(): void {
    if (this.#at === 0) return;
    const length = this.#at - this.#block - BLOCK_HEADER_BYTES;
    const view = new DataView(this.#buffer.buffer, this.#block, BLOCK_HEADER_BYTES);
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
    if (!this.#isBegun) {
      this.#isBegun = true;
      this.#size += HEADER.length;
      await this.#sink.write(HEADER);
    }
    await this.#written;
    this.#size += bytes.length;
    this.#written = this.#sink.write(bytes);
    // It is awaited only when the next bytes are due: until then a failure must not count as unhandled.
    this.#written?.catch(() => {});
  }
}

/** How many bytes are still to come when `stored` bytes are to be written as they are, up to the end of the member. */
export function sizeOfRest(stored: number): number {
  const blocks = Math.ceil(stored / BLOCK_BYTES) + 1;
  return stored + blocks * BLOCK_HEADER_BYTES + TRAILER_BYTES;
}

/** Deflates bytes into blocks that end at a byte's boundary and do not end the stream. */
function compressBlocks(bytes: Uint8Array): Uint8Array {
  return deflateRawSync(bytes, { level: 9, finishFlush: constants.Z_SYNC_FLUSH });
}
