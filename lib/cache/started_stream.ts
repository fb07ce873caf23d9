/** Makes a stream of chunks that were read already, and the rest of their stream. */
export function prependChunks(
  chunks: readonly Uint8Array[],
  reader: ReadableStreamDefaultReader<Uint8Array>,
): ReadableStream<Uint8Array> {
  const first = [...chunks];
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const value = first.shift() ?? (await reader.read()).value;
      if (value === undefined) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  }, { highWaterMark: 0 });
}

/**
 * Waits for the first bytes of a stream, so that a stream that fails early is an error and not the start of a response.
 *
 * @param bytes the number of bytes to wait for; a shorter stream is read to its end
 */
export async function waitForStart(
  stream: ReadableStream<Uint8Array>,
  bytes: number,
): Promise<ReadableStream<Uint8Array>> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  for (let seen = 0; seen < bytes;) {
    const { value } = await reader.read();
    if (value === undefined) break;
    chunks.push(value);
    seen += value.length;
  }
  return prependChunks(chunks, reader);
}
