import { cannot, RegistryError } from "../../oci/error.ts";

/** What a slot is used for: a blob occupies it until its transfer ends, a small request until it is answered. */
export type SlotUse = "small" | "blob";

/** A request that waits for a slot. */
interface Waiter {
  readonly use: SlotUse;
  readonly start: () => void;
}

// Sent to clients as `Retry-After`, in seconds.
const RETRY_AFTER = 5;
// Requests that may wait, for each slot.
const MAX_WAITING_PER_SLOT = 16;

/**
 * Limits how many requests are in progress at once. Waiting requests are started in order, small ones first, so that
 * manifests do not wait for blobs (fault 75).
 */
export class RequestLimiter {
  readonly #name: string;
  readonly #max: number;
  readonly #maxBlobs: number;
  readonly #maxWait: number;
  readonly #waiting = new Set<Waiter>();
  #used = 0;
  #blobs = 0;

  /**
   * @param name what the requests are sent to, for errors: a host
   * @param max number of slots. A quarter of them is reserved for small requests
   * @param maxWait longest wait for a slot, in milliseconds; may be `Infinity`
   */
  constructor(name: string, max: number, maxWait: number) {
    this.#name = name;
    this.#max = max;
    this.#maxBlobs = Math.max(1, max - Math.ceil(max / 4));
    this.#maxWait = maxWait;
  }

  /**
   * Waits for a slot, which the caller must dispose of.
   *
   * @throws {RegistryError} `UNAVAILABLE` when too many requests wait, or the wait is too long
   */
  async acquire(use: SlotUse, signal?: AbortSignal): Promise<Disposable> {
    signal?.throwIfAborted();
    if (!this.#isFree(use)) await this.#wait(use, signal);
    else this.#count(use, 1);
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#count(use, -1);
        this.#startNext();
      },
    };
  }

  async #wait(use: SlotUse, signal: AbortSignal | undefined): Promise<void> {
    const [max, maxWait] = [this.#max, this.#maxWait];
    const maxWaiting = max * MAX_WAITING_PER_SLOT;
    const fail = (reason: string) =>
      new RegistryError("UNAVAILABLE", cannot(`send a request to ${this.#name}`, reason), {
        retryAfter: RETRY_AFTER,
      });
    if (this.#waiting.size >= maxWaiting) throw fail(`${max} are in progress, and ${maxWaiting} wait`);
    const started = Promise.withResolvers<void>();
    // The slot is counted when the request is started, so that it cannot be taken in between.
    const waiter: Waiter = { use, start: () => started.resolve() };
    this.#waiting.add(waiter);
    const onAbort = () => started.reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const timer = maxWait === Infinity
      ? undefined
      : setTimeout(() => started.reject(fail(`none of ${max} ended within ${maxWait / 1000} s`)), maxWait);
    try {
      await started.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      this.#waiting.delete(waiter);
    }
  }

  #startNext(): void {
    for (const use of ["small", "blob"] as const) {
      for (const waiter of this.#waiting) {
        if (!this.#isFree(use)) break;
        if (waiter.use !== use) continue;
        this.#waiting.delete(waiter);
        this.#count(use, 1);
        waiter.start();
      }
    }
  }

  #isFree(use: SlotUse): boolean {
    return this.#used < this.#max && (use === "small" || this.#blobs < this.#maxBlobs);
  }

  #count(use: SlotUse, change: 1 | -1): void {
    this.#used += change;
    if (use === "blob") this.#blobs += change;
  }
}
