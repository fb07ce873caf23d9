/** Reads a stream into memory that the caller provides. */
export interface ByteReader {
  /**
   * Bytes at the place of `view`, at least one and at most as many as it is long; `undefined` at the end. The view's
   * memory is moved: go on with that of the result.
   */
  readInto(view: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | undefined>;
  cancel(reason?: unknown): Promise<void>;
}

/** A reader of a fetch body, which is a byte stream and copies nothing, or of any other stream, which is copied. */
export function createByteReader(body: ReadableStream<Uint8Array> | null): ByteReader {
  if (body === null) return { readInto: () => Promise.resolve(undefined), cancel: () => Promise.resolve() };
  let byob: ReadableStreamBYOBReader;
  try {
    byob = body.getReader({ mode: "byob" });
  } catch (error) {
    // There is no other way to ask than to try.
    if (!(error instanceof TypeError)) throw error;
    return createCopyingReader(body.getReader());
  }
  return {
    readInto: async (view) => {
      const { done, value } = await byob.read(view);
      return done ? undefined : value as Uint8Array<ArrayBuffer>;
    },
    cancel: (reason) => byob.cancel(reason).catch(() => {}),
  };
}

function createCopyingReader(reader: ReadableStreamDefaultReader<Uint8Array>): ByteReader {
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
