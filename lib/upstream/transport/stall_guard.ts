import { toTransportError, TransportError } from "./transport_error.ts";

/**
 * Minimum number of bytes that must be received within the stall time-out. Without a minimum, a server that sends a
 * byte now and then could block a transfer, and everything that waits for it, forever.
 */
export const MIN_PROGRESS_BYTES = 1024;

/** Detects a stalled response body. Only the time spent waiting for reads counts, not the time between them. */
export class StallGuard {
  readonly #timeout: number;
  readonly #now: () => number;
  #waited = 0;
  #bytes = 0;

  /**
   * @param timeout in milliseconds
   * @param now monotonic clock, in milliseconds
   */
  constructor(timeout: number, now: () => number) {
    this.#timeout = timeout;
    this.#now = now;
  }

  /**
   * Returns the result of `read`.
   *
   * @throws {TransportError} when too few bytes are received in time, or the read fails
   */
  async watch(read: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const began = this.#now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stall = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new TransportError(
            "stall",
            `fewer than ${MIN_PROGRESS_BYTES} bytes were received in ${this.#timeout / 1000} s`,
          ),
        );
      }, Math.max(0, this.#timeout - this.#waited));
    });
    // If the stall wins the race, a later failure of the read must not become an unhandled rejection.
    read.catch(() => {});
    try {
      const chunk = await Promise.race([read, stall]);
      this.#waited += this.#now() - began;
      this.#bytes += chunk?.length ?? 0;
      if (this.#bytes >= MIN_PROGRESS_BYTES) this.#waited = this.#bytes = 0;
      return chunk;
    } catch (error) {
      throw toTransportError(error);
    } finally {
      clearTimeout(timer);
    }
  }
}
