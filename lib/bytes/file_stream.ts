import { LARGEST_CHUNK_BYTES, memoryBudget } from "./memory_budget.ts";

/** Size of a chunk, in bytes. */
export const CHUNK_BYTES = LARGEST_CHUNK_BYTES;

/**
 * Passes a stream to `onChunk`, in order and one chunk at a time, while the next chunk is read. A byte stream (a fetch
 * body) is read in large chunks into two alternating buffers: `onChunk` must not keep a chunk. On an error the stream is
 * cancelled.
 */
export async function drain(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const reader = openReader(body);
  let work: Promise<void> = Promise.resolve();
  const processChunk = async (chunk: Uint8Array) => {
    await onChunk(chunk);
    reader.release(chunk);
  };
  try {
    for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) {
      await work;
      work = processChunk(chunk);
      // The promise is awaited in the next turn. Until then a rejection must not count as unhandled.
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
  /** Returns a chunk's memory for reuse. */
  release(chunk: Uint8Array): void;
  cancel(reason: unknown): Promise<void>;
}

function openReader(body: ReadableStream<Uint8Array>): ChunkReader {
  // Only byte streams can be read into a given buffer, and trying is the only way to find out.
  try {
    const reader = (body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader({ mode: "byob" });
    const free: ArrayBuffer[] = [];
    return {
      read: async () => {
        const { done, value } = await reader.read(new Uint8Array(free.pop() ?? new ArrayBuffer(CHUNK_BYTES)));
        return done ? undefined : value;
      },
      release: ({ buffer }) => free.push(buffer as ArrayBuffer),
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const reader = body.getReader();
    return {
      read: async () => (await reader.read()).value,
      release() {},
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  }
}

/** Reads an open file chunk by chunk. The chunks are smaller while many responses are being sent. */
export class FileChunks {
  readonly #file: Deno.FsFile;
  #isOpen = true;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Returns 1 to `limit` bytes in newly allocated memory. @throws {Error} at the end of the file */
  async read(limit: number): Promise<Uint8Array> {
    const buffer = new Uint8Array(Math.min(memoryBudget.chunkBytes, limit));
    const got = await this.#file.read(buffer);
    if (got === null) throw new Error("Cannot read the file: it is shorter than expected");
    return got === buffer.length ? buffer : buffer.subarray(0, got);
  }

  /** Closes the file. May be called more than once. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#file.close();
  }
}

/** Streams `length` bytes of an open file from `start` on. Closes the file at the end, on an error and on cancel. */
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
