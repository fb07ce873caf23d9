/** How many bytes are moved at a time: the size from which on Deno's cost a chunk no longer counts. */
export const CHUNK_BYTES = 1024 * 1024;

/**
 * Hands the bytes of a stream on, in order, one chunk at a time, and reads on meanwhile: what comes while a chunk is being
 * dealt with makes the next one, of at most `CHUNK_BYTES` where it is a byte stream (a fetch body). So a fast stream gives
 * large chunks, and a slow one is not held up. A chunk's memory is used again afterwards. On an error the stream is
 * cancelled.
 */
export async function drain(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const source = openSource(body);
  const worker = new ChunkWorker(onChunk);
  try {
    for (let isOver = false; !isOver;) {
      isOver = await source.fill();
      if (worker.isBusy && !source.isFull && !isOver) continue;
      await worker.idle();
      const chunk = source.take();
      if (chunk.length > 0) worker.start(chunk, () => source.giveBack(chunk));
    }
    await worker.idle();
  } catch (error) {
    await source.cancel(error);
    throw error;
  }
}

/** Deals with one chunk at a time, beside whoever starts it. */
class ChunkWorker {
  readonly #onChunk: (chunk: Uint8Array) => void | Promise<void>;
  #work: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;
  isBusy = false;

  constructor(onChunk: (chunk: Uint8Array) => void | Promise<void>) {
    this.#onChunk = onChunk;
  }

  start(chunk: Uint8Array, done: () => void): void {
    this.isBusy = true;
    this.#work = this.#run(chunk, done);
  }

  /** Waits for the chunk that is being dealt with. @throws what dealing with it threw */
  async idle(): Promise<void> {
    await this.#work;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #run(chunk: Uint8Array, done: () => void): Promise<void> {
    try {
      await this.#onChunk(chunk);
      done();
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.isBusy = false;
    }
  }
}

/** What is being read from a stream and has not been taken yet. */
interface Source {
  readonly isFull: boolean;
  /** Waits for more bytes; `true` at the end. */
  fill(): Promise<boolean>;
  take(): Uint8Array;
  giveBack(chunk: Uint8Array): void;
  cancel(reason: unknown): Promise<void>;
}

function openSource(body: ReadableStream<Uint8Array>): Source {
  // Only a byte stream lends itself to reading into our own buffer; there is no other way to ask than to try.
  try {
    return new ByteSource((body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader({ mode: "byob" }));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return new ChunkSource(body.getReader());
  }
}

/** Two buffers: one is being filled, the other dealt with. */
class ByteSource implements Source {
  readonly #reader: ReadableStreamBYOBReader;
  #filling = new ArrayBuffer(CHUNK_BYTES);
  #filled = 0;
  #spare: ArrayBuffer | undefined;

  constructor(reader: ReadableStreamBYOBReader) {
    this.#reader = reader;
  }

  get isFull(): boolean {
    return this.#filled === CHUNK_BYTES;
  }

  async fill(): Promise<boolean> {
    const { done, value } = await this.#reader.read(new Uint8Array(this.#filling, this.#filled));
    if (value === undefined) return true;
    this.#filling = value.buffer;
    this.#filled += value.length;
    return done;
  }

  take(): Uint8Array {
    const chunk = new Uint8Array(this.#filling, 0, this.#filled);
    this.#filling = this.#spare ?? new ArrayBuffer(CHUNK_BYTES);
    this.#spare = undefined;
    this.#filled = 0;
    return chunk;
  }

  giveBack(chunk: Uint8Array): void {
    this.#spare = chunk.buffer as ArrayBuffer;
  }

  async cancel(reason: unknown): Promise<void> {
    await this.#reader.cancel(reason).catch(() => {});
  }
}

/** A stream that brings its own chunks. */
class ChunkSource implements Source {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array(0);
  readonly isFull = true;

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  async fill(): Promise<boolean> {
    const { done, value } = await this.#reader.read();
    this.#chunk = value ?? new Uint8Array(0);
    return done;
  }

  take(): Uint8Array {
    return this.#chunk;
  }

  giveBack(): void {}

  async cancel(reason: unknown): Promise<void> {
    await this.#reader.cancel(reason).catch(() => {});
  }
}

// Each reader has some five chunks on the way to its client. Few readers are to be fast, many are to be small.
const CHUNKS_FOR_READERS = [
  { atMost: 4, bytes: CHUNK_BYTES },
  { atMost: 12, bytes: CHUNK_BYTES / 2 },
  { atMost: Infinity, bytes: CHUNK_BYTES / 8 },
] as const;
let readers = 0;

/** Reads an open file piece by piece; closing this closes the file. */
export class FileChunks {
  readonly #file: Deno.FsFile;
  #isOpen = true;

  constructor(file: Deno.FsFile) {
    this.#file = file;
    readers++;
  }

  /** Up to `limit` bytes, at least one, in memory of their own. @throws {Error} at the end of the file */
  async read(limit: number): Promise<Uint8Array> {
    const { bytes } = CHUNKS_FOR_READERS.find(({ atMost }) => readers <= atMost)!;
    const buffer = new Uint8Array(Math.min(bytes, limit));
    const got = await this.#file.read(buffer);
    if (got === null) throw new Error("Cannot read on: the file ends early");
    return got === buffer.length ? buffer : buffer.subarray(0, got);
  }

  /** May be called again. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    readers--;
    this.#file.close();
  }
}

/** The `length` bytes of an open file that begin at `start`; the file is closed at the end, on an error and on cancel. */
export function streamFile(file: Deno.FsFile, start: number, length: number): ReadableStream<Uint8Array> {
  const chunks = new FileChunks(file);
  let left = length;
  return new ReadableStream<Uint8Array>({
    start() {
      if (start > 0) file.seekSync(start, Deno.SeekMode.Start);
    },
    async pull(controller) {
      try {
        if (left > 0) {
          const bytes = await chunks.read(left);
          left -= bytes.length;
          controller.enqueue(bytes);
        }
        if (left > 0) return;
        chunks.close();
        controller.close();
      } catch (error) {
        chunks.close();
        throw error;
      }
    },
    cancel() {
      chunks.close();
    },
  }, { highWaterMark: 0 });
}
