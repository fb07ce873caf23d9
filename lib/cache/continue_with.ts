import { cannot, CrpeError } from "../oci/error.ts";

/** The bytes that a source must send in a time that is spent waiting for it. */
interface Pace {
  readonly milliseconds: number;
  readonly bytes: number;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
}

/**
 * Passes on a body, and continues it with another one if it fails, or is slower than a pace. A slow body goes on if there
 * is no other one.
 *
 * @param openRest opens the blob from a position on; `undefined` when that is not possible
 * @param start position in the blob of the first byte of `body`
 * @param pace absent for a body that may be as slow as it likes
 */
export function continueWith(
  body: ReadableStream<Uint8Array>,
  openRest: (at: number) => Promise<ReadableStream<Uint8Array> | undefined>,
  { start, pace }: { readonly start: number; readonly pace?: Pace | undefined },
): ReadableStream<Uint8Array> {
  let reader = body.getReader();
  let at = start;
  let isContinued = false;
  let isCancelled = false;
  let [waited, bytes] = [0, 0];
  const now = pace?.now ?? (() => 0);
  // Only the time spent waiting for reads counts, as the client may be slow.
  const isSlow = (began: number, length: number) => {
    if (pace === undefined || isContinued) return false;
    waited += now() - began;
    bytes += length;
    if (waited < pace.milliseconds) return false;
    const isTooSlow = bytes < pace.bytes;
    waited = bytes = 0;
    return isTooSlow;
  };
  const leaveSlow = async () => {
    isContinued = true;
    const rest = await openRest(at).catch(() => undefined);
    if (rest === undefined) return;
    if (isCancelled) return await rest.cancel();
    reader.cancel(new CrpeError(cannot("receive the blob", "the peer is slow"))).catch(() => {});
    reader = rest.getReader();
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      for (;;) {
        try {
          const began = now();
          const { done, value } = await reader.read();
          if (done) return controller.close();
          at += value.length;
          controller.enqueue(value);
          if (isSlow(began, value.length)) await leaveSlow();
          return;
        } catch (error) {
          const rest = isContinued ? undefined : await openRest(at);
          if (rest === undefined) throw error;
          isContinued = true;
          reader = rest.getReader();
        }
      }
    },
    cancel(reason) {
      isCancelled = true;
      return reader.cancel(reason);
    },
  }, { highWaterMark: 0 });
}
