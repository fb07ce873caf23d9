import { cannot, TruncatedError } from "../oci/error.ts";
import { openByob } from "./open_byob.ts";

/** A source of bytes that is read chunk by chunk. */
export interface ByteSource {
  /** Returns the next chunk, which is never empty and belongs to the caller; `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>;
  /** Stops reading early. Errors of the underlying stream are ignored. */
  cancel(reason?: unknown): Promise<void>;
  /**
   * While it is on, the memory of a chunk is given up when 1 MiB after it was read and more is requested. Without it, up
   * to 64 MiB of chunks wait for a collection of garbage. Chunks that were read before it was on stay valid.
   */
  giveUpChunks?(isOn: boolean): void;
}

/** A source that can skip bytes without reading them. */
export interface SeekableSource extends ByteSource {
  /**
   * Skips up to `length` bytes.
   *
   * @returns the number of bytes skipped; 0 at the end, and where the source can currently only be read
   */
  skip(length: number): Promise<number> | number;
  /** Returns `length` bytes at `distance` bytes past the read position, without consuming; fewer at the end. */
  peekAt(distance: number, length: number): Promise<Uint8Array>;
}

/** An input that a bundle is read from. */
export type BundleSource = ReadableStream<Uint8Array> | SeekableSource;

const EMPTY = new Uint8Array(0);
// Reading fewer bytes is faster than skipping them, and keeps the checksum over all bytes verifiable.
const MIN_SKIP_BYTES = 64 * 1024;

/** Reads a `ByteSource` in the sizes that a format parser needs. Large reads are not copied. */
export class ByteReader {
  readonly #source: ByteSource & Partial<SeekableSource>;
  readonly #what: string;
  #rest: Uint8Array = EMPTY;
  #position = 0;
  #ended = false;
  #isReadThrough = false;

  /** @param what name of the input in errors */
  constructor(source: ByteSource & Partial<SeekableSource>, what: string) {
    this.#source = source;
    this.#what = what;
  }

  /** Whether skipped bytes are not read. */
  get isSeekable(): boolean {
    return this.#source.skip !== undefined && !this.#isReadThrough;
  }

  /** From now on reads skipped bytes too, so that a checksum over all bytes can be verified. */
  readThrough(): void {
    this.#isReadThrough = true;
  }

  /** The number of bytes read or skipped so far. */
  get position(): number {
    return this.#position;
  }

  /** Returns 1 to `max` bytes as a view of the source's chunk; `undefined` at the end. */
  async read(max: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0 && !await this.#fill()) return undefined;
    const piece = this.#rest.length <= max ? this.#rest : this.#rest.subarray(0, max);
    this.#rest = this.#rest.length <= max ? EMPTY : this.#rest.subarray(max);
    this.#position += piece.length;
    return piece;
  }

  /**
   * Returns exactly `length` bytes. Meant for small reads: the bytes may be copied.
   *
   * @throws {TruncatedError} when the source ends before that
   */
  async readExactly(length: number): Promise<Uint8Array> {
    const first = length === 0 ? EMPTY : await this.read(length);
    if (first?.length === length) return first;
    const bytes = new Uint8Array(length);
    let filled = 0;
    for (let piece = first; piece !== undefined; piece = await this.read(length - filled)) {
      bytes.set(piece, filled);
      filled += piece.length;
      if (filled === length) return bytes;
    }
    throw this.#truncated();
  }

  /** Returns the next `length` bytes, or fewer at the end, without consuming them. */
  async peek(length: number): Promise<Uint8Array> {
    while (this.#rest.length < length) {
      const before = this.#rest;
      if (!await this.#fill()) break;
      if (before.length === 0) continue;
      const joined = new Uint8Array(before.length + this.#rest.length);
      joined.set(before);
      joined.set(this.#rest, before.length);
      this.#rest = joined;
    }
    return this.#rest.subarray(0, length);
  }

  /**
   * Skips `length` bytes. A seekable source does not read them.
   *
   * @throws {TruncatedError} when the source ends before that
   */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const skipped = await this.#skipInSource(left) || (await this.read(left))?.length;
      if (skipped === undefined) throw this.#truncated();
      left -= skipped;
    }
  }

  /** As `SeekableSource.peekAt`. Past the buffered bytes, a source that is not seekable returns nothing. */
  async peekAt(distance: number, length: number): Promise<Uint8Array> {
    const beyond = distance - this.#rest.length;
    if (beyond < 0) return (await this.peek(distance + length)).subarray(distance);
    return await this.#source.peekAt?.(beyond, length) ?? EMPTY;
  }

  /** Pushes back the end of the last read, so that it is read again. */
  unread(piece: Uint8Array): void {
    this.#position -= piece.length;
    if (this.#rest.length === 0) {
      this.#rest = piece;
      return;
    }
    const joined = new Uint8Array(piece.length + this.#rest.length);
    joined.set(piece);
    joined.set(this.#rest, piece.length);
    this.#rest = joined;
  }

  /** As `ByteSource.giveUpChunks`. Without effect on a source that cannot. */
  giveUpChunks(isOn: boolean): void {
    this.#source.giveUpChunks?.(isOn);
  }

  /** Stops reading early, and cancels the source. */
  async cancel(reason?: unknown): Promise<void> {
    this.#ended = true;
    this.#rest = EMPTY;
    await this.#source.cancel(reason);
  }

  async #skipInSource(length: number): Promise<number> {
    if (this.#rest.length > 0 || this.#ended || this.#isReadThrough || length < MIN_SKIP_BYTES) return 0;
    const skipped = await this.#source.skip?.(length) ?? 0;
    this.#position += skipped;
    return skipped;
  }

  // Replaces the buffered bytes even when some are left: `peek` has saved them.
  async #fill(): Promise<boolean> {
    const piece = this.#ended ? undefined : await this.#source.read();
    if (piece === undefined) this.#ended = true;
    else this.#rest = piece;
    return piece !== undefined;
  }

  #truncated(): TruncatedError {
    return new TruncatedError(cannot(`read ${this.#what}`, `it is cut off after ${this.#position} bytes`));
  }
}

const SMALLEST_VIEW = 64 * 1024;
const LARGEST_VIEW = 1024 * 1024;

/**
 * Opens a stream as a `ByteSource`. A byte stream (a request body, a file) is read in chunks of up to 1 MiB.
 *
 * @param largest size of the largest chunk, in bytes
 */
export function openByteSource(stream: ReadableStream<Uint8Array>, largest = LARGEST_VIEW): ByteSource {
  const reader = openByob(stream);
  if (reader === undefined) return openChunkSource(stream);
  // Each chunk needs its own memory, because the caller keeps it. The buffer size follows what the stream tends to fill.
  let size = SMALLEST_VIEW;
  return {
    read: async () => {
      const { done, value } = await reader.read(new Uint8Array(size));
      if (done || value === undefined) return undefined;
      if (value.length === size) size = Math.min(size * 2, largest);
      else if (value.length < size / 4) size = Math.max(size / 2, SMALLEST_VIEW);
      return value;
    },
    cancel: (reason) => reader.cancel(reason).catch(() => {}),
  };
}

/** Streams the rest of a reader. Cancelling the stream does not cancel the reader. */
export function streamBytes(reader: Pick<ByteReader, "read">, chunkBytes = LARGEST_VIEW): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const piece = await reader.read(chunkBytes);
      if (piece === undefined) controller.close();
      else controller.enqueue(piece);
    },
  }, { highWaterMark: 0 });
}

function openChunkSource(stream: ReadableStream<Uint8Array>): ByteSource {
  const reader = stream.getReader();
  return {
    read: async () => {
      let next = await reader.read();
      while (!next.done && next.value.length === 0) next = await reader.read();
      return next.value;
    },
    cancel: (reason) => reader.cancel(reason).catch(() => {}),
  };
}
