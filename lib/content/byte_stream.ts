/** How many bytes are moved at a time: the size from which on Deno's cost a chunk no longer counts. */
export const CHUNK_BYTES = 1024 * 1024;

/**
 * Hands the bytes of a stream on, chunk by chunk, and waits for each to be dealt with; the chunk's memory is used again
 * afterwards. A byte stream (a fetch body) is read in large pieces. On an error the stream is cancelled.
 */
export async function drain(
  body: ReadableStream<Uint8Array>,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  const reader = openReader(body);
  try {
    for (let chunk = await reader.read(); chunk !== undefined; chunk = await reader.read()) await onChunk(chunk);
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}

interface ChunkReader {
  read(): Promise<Uint8Array | undefined>;
  cancel(reason: unknown): Promise<void>;
}

function openReader(body: ReadableStream<Uint8Array>): ChunkReader {
  // Only a byte stream lends itself to reading into our own buffer; there is no other way to ask than to try.
  try {
    const reader = (body as ReadableStream<Uint8Array<ArrayBuffer>>).getReader({ mode: "byob" });
    let buffer = new ArrayBuffer(CHUNK_BYTES);
    return {
      read: async () => {
        const { done, value } = await reader.read(new Uint8Array(buffer));
        if (value !== undefined) buffer = value.buffer;
        return done ? undefined : value;
      },
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    const reader = body.getReader();
    return {
      read: async () => (await reader.read()).value,
      cancel: (reason) => reader.cancel(reason).catch(() => {}),
    };
  }
}

/** The `length` bytes of an open file that begin at `start`; the file is closed at the end, on an error and on cancel. */
export function streamFile(file: Deno.FsFile, start: number, length: number): ReadableStream<Uint8Array> {
  let left = length;
  const next = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
    if (left > 0) {
      const buffer = new Uint8Array(Math.min(CHUNK_BYTES, left));
      const got = await file.read(buffer);
      if (got === null) throw new Error(`Cannot read on: the file ends ${left} bytes early`);
      left -= got;
      controller.enqueue(got === buffer.length ? buffer : buffer.subarray(0, got));
    }
    if (left === 0) {
      file.close();
      controller.close();
    }
  };
  return new ReadableStream<Uint8Array>({
    start() {
      if (start > 0) file.seekSync(start, Deno.SeekMode.Start);
    },
    async pull(controller) {
      try {
        await next(controller);
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
