/** Opens a stream for reading into given memory; `undefined` if it is no byte stream: trying is the only way to find out. */
export function openByob(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return stream.getReader({ mode: "byob" });
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}
