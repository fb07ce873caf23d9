import { toTransportError, TransportError } from "./transport_error.ts";

/**
 * So many bytes have to come within the stall time-out: a server that sends a byte now and then would else hold a
 * transfer, and all that wait for it, for ever.
 */
export const MIN_PROGRESS_BYTES = 1024;

/** Watches over the reads of one answer's body. Only time spent waiting counts, not what the reader does in between. */
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

  /** Gives what `read` gives. @throws {TransportError} when too little came in time, or the read fails */
  async watch(read: Promise<Uint8Array | undefined>): Promise<Uint8Array | undefined> {
    const began = this.#now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stall = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new TransportError("stall", `fewer than ${MIN_PROGRESS_BYTES} bytes came in ${this.#timeout / 1000} s`));
      }, Math.max(0, this.#timeout - this.#waited));
    });
    // Whichever loses the race must not become an unhandled rejection.
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
