import { TruncatedError } from "../oci/error.ts";

/** Gives bytes piece by piece. */
export interface ByteSource {
  /** The next piece, which is the caller's to keep and is not empty; `undefined` at the end. */
  read(): Promise<Uint8Array | undefined>;
  /** Ends reading early; nothing that it fails with is reported. */
  cancel(reason?: unknown): Promise<void>;
}

/** A source of which bytes that nobody needs are passed over without being read. */
export interface SeekableSource extends ByteSource {
  /**
   * Passes over up to `length` bytes.
   *
   * @returns how many there were; 0 at the end, and where the source can only read at the moment
   */
  skip(length: number): Promise<number> | number;
  /** Looks at bytes `distance` bytes further on than what was read; fewer than `length` where the source ends. */
  peekAt(distance: number, length: number): Promise<Uint8Array>;
}

/** Where a bundle is read from. */
export type BundleSource = ReadableStream<Uint8Array> | SeekableSource;

const EMPTY = new Uint8Array(0);
// Fewer bytes are sooner read, and a check sum over all bytes can be told then.
const WORTH_SKIPPING = 64 * 1024;

/** Reads from a `ByteSource` in the portions that the reader of a format needs, without copying large ones. */
export class ByteReader {
  readonly #source: ByteSource & Partial<SeekableSource>;
  readonly #what: string;
  #rest: Uint8Array = EMPTY;
  #position = 0;
  #ended = false;
  #isReadThrough = false;

  /** @param what names the bytes in errors */
  constructor(source: ByteSource & Partial<SeekableSource>, what: string) {
    this.#source = source;
    this.#what = what;
  }

  /** Whether bytes that are skipped need not be read. */
  get isSeekable(): boolean {
    return this.#source.skip !== undefined && !this.#isReadThrough;
  }

  /** From now on what is skipped is read too, so that a check sum over all of it can be told. */
  readThrough(): void {
    this.#isReadThrough = true;
  }

  /** How many bytes were read or skipped. */
  get position(): number {
    return this.#position;
  }

  /** Up to `max` bytes, at least one, as a view on what the source gave; `undefined` at the end. */
  async read(max: number): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0 && !await this.#fill()) return undefined;
    const piece = this.#rest.length <= max ? this.#rest : this.#rest.subarray(0, max);
    this.#rest = this.#rest.length <= max ? EMPTY : this.#rest.subarray(max);
    this.#position += piece.length;
    return piece;
  }

  /**
   * Exactly `length` bytes; meant for small portions.
   *
   * @throws {CorruptError} when there are fewer
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

  /** The next bytes, without reading on: `length`, or fewer at the end. */
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
   * Passes over bytes; those of a seekable source are not read.
   *
   * @throws {CorruptError} when there are fewer bytes than `length`
   */
  async skip(length: number): Promise<void> {
    for (let left = length; left > 0;) {
      const passed = await this.#pass(left) || (await this.read(left))?.length;
      if (passed === undefined) throw this.#truncated();
      left -= passed;
    }
  }

  /** Looks at bytes `distance` bytes further on, of a seekable source; fewer than `length` where it ends. */
  async peekAt(distance: number, length: number): Promise<Uint8Array> {
    const beyond = distance - this.#rest.length;
    if (beyond < 0) return (await this.peek(distance + length)).subarray(distance);
    return await this.#source.peekAt?.(beyond, length) ?? EMPTY;
  }

  /** Takes back the end of what was read last, to be read again. */
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

  /** Ends reading early. */
  async cancel(reason?: unknown): Promise<void> {
    this.#ended = true;
    this.#rest = EMPTY;
    await this.#source.cancel(reason);
  }

  async #pass(length: number): Promise<number> {
    if (this.#rest.length > 0 || this.#ended || this.#isReadThrough || length < WORTH_SKIPPING) return 0;
    const passed = await this.#source.skip?.(length) ?? 0;
    this.#position += passed;
    return passed;
  }

  // Replaces what is left, also where it is not empty: `peek` has kept it.
  async #fill(): Promise<boolean> {
    const piece = this.#ended ? undefined : await this.#source.read();
    if (piece === undefined) this.#ended = true;
    else this.#rest = piece;
    return piece !== undefined;
  }

  #truncated(): TruncatedError {
    return new TruncatedError(`Cannot read ${this.#what}: it ends after ${this.#position} bytes, in the middle`);
  }
}

const SMALLEST_VIEW = 64 * 1024;
const LARGEST_VIEW = 1024 * 1024;

/**
 * Reads a stream piece by piece; a byte stream (a request's body, a file) in pieces of up to 1 MiB.
 *
 * @param largest size of the largest piece in bytes
 */
export function openByteSource(stream: ReadableStream<Uint8Array>, largest = LARGEST_VIEW): ByteSource {
  let reader: ReadableStreamBYOBReader;
  try {
    // Only a byte stream lends itself to it, and there is no other way to ask than to try.
    reader = stream.getReader({ mode: "byob" });
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return openChunkSource(stream);
  }
  // The pieces are given away, so each needs its own memory: no more of it than the stream tends to fill.
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

/** Makes a stream of what a reader gives until its end; cancelling the stream leaves the reader where it is. */
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
