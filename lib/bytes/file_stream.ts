/** How many bytes are moved at a time: the size from which on Deno's cost a chunk no longer counts. */
export const CHUNK_BYTES = 1024 * 1024;

/**
 * Hands the bytes of a stream on, in order, one chunk at a time, and reads the next chunk meanwhile. A byte stream (a fetch
 * body) is read in large pieces, into two buffers that are used in turn. On an error the stream is cancelled.
 */
export async function drain(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const reader = openReader(body);
  let work: Promise<void> = Promise.resolve();
  const deal = async (chunk: Uint8Array) => {
    await onChunk(chunk);
    reader.giveBack(chunk);
  };
  try {
    for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) {
      await work;
      work = deal(chunk);
      // It is awaited a moment later; until then nobody must call it unhandled.
      work.catch(() => {});
    }
    await work;
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}

interface ChunkReader {
  read(): Promise<Uint8Array | undefined>;
  /** Says that a chunk's memory is free again. */
  giveBack(chunk: Uint8Array): void;
  cancel(reason: unknown): Promise<void>;
}

function openReader(body: ReadableStream<Uint8Array>): ChunkReader {
  // Only a byte stream lends itself to reading into our own buffer; there is no other way to ask than to try.
  try {
    const reader = (body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader({ mode: "byob" });
    const free: ArrayBuffer[] = [];
    return {
      read: async () => {
        const { done, value } = await reader.read(new Uint8Array(free.pop() ?? new ArrayBuffer(CHUNK_BYTES)));
        return done ? undefined : value;
      },
      giveBack: ({ buffer }) => free.push(buffer as ArrayBuffer),
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const reader = body.getReader();
    return {
      read: async () => (await reader.read()).value,
      giveBack() {},
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  }
}

// Each reader has some five chunks on the way to its client. Few readers are to be fast, many are to be small.
const CHUNKS_FOR_READERS = [
  { atMost: 4, bytes: CHUNK_BYTES },
  { atMost: 12, bytes: CHUNK_BYTES / 2 },
  { atMost: 64, bytes: CHUNK_BYTES / 16 },
  // So many are no cluster: most of them will not read.
  { atMost: Infinity, bytes: CHUNK_BYTES / 64 },
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
