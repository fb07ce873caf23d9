import { createBufferReader } from "./buffer_reader.ts";
import { StallGuard } from "./stall_guard.ts";

/** Options of an unsized body. */
interface UnsizedBodyOptions {
  /** In milliseconds; see `StallGuard`. */
  readonly stallTimeout: number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Converts the error of a read. */
  toError(error: unknown): unknown;
  /** Called once when the stream has ended, failed or been cancelled. */
  onEnd?(): void;
}

const CHUNK_BYTES = 1024 * 1024;

/**
 * Passes on a body whose length is not known. It ends where the response ends: only the digest shows whether that is
 * the end of the content. It cannot be resumed.
 */
export function openUnsizedBody(
  body: ReadableStream<Uint8Array> | null,
  { stallTimeout, now, toError, onEnd = () => {} }: UnsizedBodyOptions,
): ReadableStream<Uint8Array> {
  const reader = createBufferReader(body);
  const guard = new StallGuard(stallTimeout, now);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const chunk = await guard.watch(reader.readInto(new Uint8Array(CHUNK_BYTES)));
        if (chunk !== undefined) return controller.enqueue(chunk);
        controller.close();
        onEnd();
      } catch (error) {
        onEnd();
        await reader.cancel(error);
        throw toError(error);
      }
    },
    async cancel(reason) {
      onEnd();
      await reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
