import { cannot, CrpeError } from "../oci/error.ts";
import { openByob } from "./open_byob.ts";

/** Size of a chunk, in bytes. From this size on, Deno's overhead per chunk is negligible. */
export const CHUNK_BYTES = 1024 * 1024;

// The runtime gives at most 504 KiB of a response at once.
const BODY_CHUNK_BYTES = 512 * 1024;

/**
 * Passes a stream to `onChunk`, in order and one chunk at a time, while the next chunk is read. A byte stream (a fetch
 * body) is read in large chunks into two alternating buffers, unless `onChunk` keeps a chunk. On an error the stream is
 * cancelled.
 *
 * @param onChunk returns `"kept"` if the memory of the chunk must not be used again
 */
export async function drain(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void | Promise<void | "kept">,
): Promise<void> {
  const reader = openReader(body);
  let work: Promise<void> = Promise.resolve();
  const processChunk = async (chunk: Uint8Array) => {
    if (await onChunk(chunk) !== "kept") reader.release(chunk);
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
    // A write in progress would keep the file of the caller open, and locked, after it is closed.
    await work.catch(() => {});
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
  const reader = openByob(body);
  if (reader === undefined) {
    const reader = body.getReader();
    return {
      read: async () => (await reader.read()).value,
      release() {},
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  }
  const free: ArrayBuffer[] = [];
  return {
    read: async () => {
      const { done, value } = await reader.read(new Uint8Array(free.pop() ?? new ArrayBuffer(BODY_CHUNK_BYTES)));
      return done ? undefined : value;
    },
    release: ({ buffer }) => free.push(buffer as ArrayBuffer),
    cancel: (reason) => reader.cancel(reason).catch(() => {}),
  };
}

/** Streams `length` bytes of an open file. Closes the file at the end, on an error and on cancel. */
export function streamFile(file: Deno.FsFile, length: number): ReadableStream<Uint8Array> {
  let left = length;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        if (left > 0) {
          const buffer = new Uint8Array(Math.min(CHUNK_BYTES, left));
          const got = await file.read(buffer);
          if (got === null) throw new CrpeError(cannot("read the file", "it is shorter than expected"));
          left -= got;
          controller.enqueue(buffer.subarray(0, got));
        }
        if (left > 0) return;
        file.close();
        controller.close();
      } catch (error) {
        file.close();
        throw error;
      }
    },
    cancel() {
      file.close();
    },
  }, { highWaterMark: 0 });
}
