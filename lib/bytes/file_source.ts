import type { SeekableSource } from "./byte_reader.ts";
import { free } from "./lent_chunks.ts";

/** A file with random access. */
export interface SeekableFile {
  /** In bytes. */
  readonly size: number;
  /** Reads into `buffer` from `position` on. @returns the number of bytes read, possibly fewer; 0 at the end */
  read(position: number, buffer: Uint8Array): Promise<number>;
  /** May be called more than once. */
  close(): void;
}

const SMALLEST_READ = 64 * 1024;
const LARGEST_READ = 1024 * 1024;

/** Reads a file chunk by chunk, with skipping. Closes the file at its end, and on cancel. */
export class FileSource implements SeekableSource {
  readonly #file: SeekableFile;
  #position = 0;
  // Starts small after each skip: a header follows, and then often the next skip.
  #readBytes = SMALLEST_READ;
  /** The chunks that will be given up, with the positions of their ends; `undefined` while none are. */
  #lent: { readonly chunk: Uint8Array; readonly end: number }[] | undefined;

  constructor(file: SeekableFile) {
    this.#file = file;
  }

  /** The size of the file, in bytes. */
  get size(): number {
    return this.#file.size;
  }

  /** The number of bytes read or skipped so far. */
  get position(): number {
    return this.#position;
  }

  async read(): Promise<Uint8Array | undefined> {
    const left = this.#file.size - this.#position;
    if (left <= 0) {
      this.#file.close();
      return undefined;
    }
    while (this.#lent?.[0] !== undefined && this.#lent[0].end + LARGEST_READ <= this.#position) {
      free(this.#lent.shift()!.chunk);
    }
    const buffer = new Uint8Array(Math.min(this.#readBytes, left));
    const got = await this.#file.read(this.#position, buffer);
    // The file was truncated in the meantime. The caller reports the early end.
    if (got === 0) return undefined;
    this.#position += got;
    this.#lent?.push({ chunk: buffer, end: this.#position });
    this.#readBytes = Math.min(this.#readBytes * 2, LARGEST_READ);
    return got === buffer.length ? buffer : buffer.subarray(0, got);
  }

  giveUpChunks(isOn: boolean): void {
    this.#lent = isOn ? [] : undefined;
  }

  skip(length: number): number {
    // The distance between two chunks says no longer that the first was used.
    if (this.#lent !== undefined) this.#lent = [];
    const skipped = Math.max(0, Math.min(length, this.#file.size - this.#position));
    this.#position += skipped;
    this.#readBytes = SMALLEST_READ;
    return skipped;
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
