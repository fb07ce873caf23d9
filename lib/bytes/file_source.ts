import type { SeekableSource } from "./byte_reader.ts";

/** A file of which any bytes can be read. */
export interface SeekableFile {
  /** In bytes. */
  readonly size: number;
  /** Fills `buffer`, or a part of it, from `position` on. @returns how many bytes came; 0 at the end */
  read(position: number, buffer: Uint8Array): Promise<number>;
  /** May be called again. */
  close(): void;
}

const SMALLEST_READ = 64 * 1024;
const LARGEST_READ = 1024 * 1024;

/** Reads a file piece by piece, and can pass over what nobody needs. The file is closed at its end, and on cancel. */
export class FileSource implements SeekableSource {
  readonly #file: SeekableFile;
  #position = 0;
  // What follows a jump is a header, and often the next jump.
  #readBytes = SMALLEST_READ;

  constructor(file: SeekableFile) {
    this.#file = file;
  }

  async read(): Promise<Uint8Array | undefined> {
    const left = this.#file.size - this.#position;
    if (left <= 0) {
      this.#file.close();
      return undefined;
    }
    const buffer = new Uint8Array(Math.min(this.#readBytes, left));
    const got = await this.#file.read(this.#position, buffer);
    // It has become shorter meanwhile: whoever reads finds that it ends too early.
    if (got === 0) return undefined;
    this.#position += got;
    this.#readBytes = Math.min(this.#readBytes * 2, LARGEST_READ);
    return got === buffer.length ? buffer : buffer.subarray(0, got);
  }

  skip(length: number): number {
    const passed = Math.max(0, Math.min(length, this.#file.size - this.#position));
    this.#position += passed;
    this.#readBytes = SMALLEST_READ;
    return passed;
  }

  async peekAt(distance: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    let filled = 0;
    while (filled < length) {
      const position = this.#position + distance + filled;
      const got = position < this.#file.size ? await this.#file.read(position, bytes.subarray(filled)) : 0;
      if (got === 0) break;
      filled += got;
    }
    return bytes.subarray(0, filled);
  }

  // deno-lint-ignore require-await
  async cancel(): Promise<void> {
    this.#file.close();
  }
}
