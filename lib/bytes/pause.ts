/** Options of `pause`. */
interface PauseOptions {
  /** Whether the process may end meanwhile. */
  readonly isUnref?: boolean;
  /** Ends the pause: it rejects with the reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Waits. */
export async function pause(milliseconds: number, { isUnref = false, signal }: PauseOptions = {}): Promise<void> {
  signal?.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, milliseconds);
  if (isUnref) Deno.unrefTimer(timer);
  const stop = () => reject(signal!.reason);
  signal?.addEventListener("abort", stop);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}
