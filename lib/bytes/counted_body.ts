/**
 * The same body, with its bytes counted as they are taken.
 *
 * @param length how many bytes it should have
 * @param onEnd told once how many were taken: when it was all of them, or when the body ends (`isWhole`), breaks off or is
 *   cancelled before that
 * @param onBackpressure told whose turn it is: the client's, which has been given what there was, or the body's
 */
export function countBody(
  body: ReadableStream<Uint8Array>,
  length: number,
  onEnd: (bytes: number, isWhole: boolean) => void,
  onBackpressure: (waitsForClient: boolean) => void = () => {},
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  let isOver = false;
  const end = (isWhole: boolean) => {
    if (isOver) return;
    isOver = true;
    onEnd(bytes, isWhole);
  };
  // Nobody reads what is empty.
  if (length === 0) end(true);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      onBackpressure(false);
      try {
        const { done, value } = await reader.read();
        if (done) {
          end(true);
          return controller.close();
        }
        bytes += value.length;
        controller.enqueue(value);
        onBackpressure(true);
        // A client that has all of it may ask how much was sent before the stream's end is looked at.
        if (bytes >= length) end(true);
      } catch (error) {
        end(false);
        throw error;
      }
    },
    cancel(reason) {
      end(false);
      return reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
