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
