import { openByob } from "../../bytes/open_byob.ts";

/** Reads a stream into memory that the caller provides. */
export interface BufferReader {
  /**
   * Reads at least one byte and at most `view.length` bytes into the memory of `view`; `undefined` at the end. The
   * memory is transferred: `view` is detached, and the result must be used instead.
   */
  readInto(view: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | undefined>;
  cancel(reason?: unknown): Promise<void>;
}

/** Creates a reader. A byte stream, such as the body of a fetch, is read without copying; other streams are copied. */
export function createBufferReader(body: ReadableStream<Uint8Array> | null): BufferReader {
  if (body === null) return { readInto: () => Promise.resolve(undefined), cancel: () => Promise.resolve() };
  const byob = openByob(body);
  if (byob === undefined) return createCopyingReader(body.getReader());
  return {
    readInto: async (view) => {
      const { done, value } = await byob.read(view);
      return done ? undefined : value as Uint8Array<ArrayBuffer>;
    },
    cancel: (reason) => byob.cancel(reason).catch(() => {}),
  };
}

function createCopyingReader(reader: ReadableStreamDefaultReader<Uint8Array>): BufferReader {
  let left = new Uint8Array(0);
  return {
    readInto: async (view) => {
      while (left.length === 0) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        left = value as Uint8Array<ArrayBuffer>;
      }
      const count = Math.min(left.length, view.length);
      view.set(left.subarray(0, count));
      left = left.subarray(count);
      return view.subarray(0, count);
    },
    cancel: (reason) => reader.cancel(reason).catch(() => {}),
  };
}
