import type { SeekableFile } from "../../lib/bytes/file_source.ts";

/** A file in memory that counts the bytes that are read. */
export class CountedFile implements SeekableFile {
  readonly #bytes: Uint8Array;
  /** How many bytes were read in total, including repeated reads. */
  bytesRead = 0;
  /** The end of the furthest read. */
  end = 0;
  isClosed = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.length;
  }

  // deno-lint-ignore require-await
  async read(position: number, buffer: Uint8Array): Promise<number> {
    if (this.isClosed) throw new Error("Cannot read: the file is closed");
    const piece = this.#bytes.subarray(position, position + buffer.length);
    buffer.set(piece);
    this.bytesRead += piece.length;
    this.end = Math.max(this.end, position + piece.length);
    return piece.length;
  }

  close(): void {
    this.isClosed = true;
  }
}
