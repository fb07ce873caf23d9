import { returnChunk } from "./lent_chunks.ts";

/** What is reported about a body while it is read. */
interface BodyEvents {
  /**
   * Called once with the number of bytes read. `isWhole` is true after the last byte and at the end of the body, false
   * when the body fails or is cancelled before that.
   */
  readonly onEnd: (bytes: number, isWhole: boolean) => void;
  /** Called with true when a chunk waits for the client to read it, with false when the body is read. */
  readonly onBackpressure?: (waitsForClient: boolean) => void;
}

/** What is done while a body is read. */
interface CountOptions extends BodyEvents {
  /**
   * Whether a chunk is returned (`returnChunk`) when the next one is read. Only for a body whose reader has passed a chunk
   * on by then, as the server of the runtime does, and does not collect them.
   */
  readonly returnsChunks?: boolean | undefined;
}

/**
 * Wraps a body and counts its bytes as they are read.
 *
 * @param length the number of bytes that the body should have
 */
export function countBody(
  body: ReadableStream<Uint8Array>,
  length: number,
  { onEnd, onBackpressure = () => {}, returnsChunks = false }: CountOptions,
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let bytes = 0;
  let isOver = false;
  let last: Uint8Array | undefined;
  const end = (isWhole: boolean) => {
    if (isOver) return;
    isOver = true;
    onEnd(bytes, isWhole);
  };
  // An empty body is never read.
  if (length === 0) end(true);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      onBackpressure(false);
      if (last !== undefined) returnChunk(last);
      last = undefined;
      try {
        const { done, value } = await reader.read();
        if (done) {
          end(true);
          return controller.close();
        }
        bytes += value.length;
        if (returnsChunks) last = value;
        controller.enqueue(value);
        onBackpressure(true);
        // A client with all bytes may query the count before the end of the stream is read.
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
