import { pause } from "./pause.ts";

/** Options of a `RateLimit`. */
interface RateLimitOptions {
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  readonly sleep?: (milliseconds: number) => Promise<void>;
}

// Pieces in a second: a transfer must make progress before it counts as stalled.
const PIECES_PER_SECOND = 16;
const MIN_PIECE_BYTES = 512;

/** Passes on at most so many bytes a second, in all streams together. */
export class RateLimit {
  readonly #rate: number;
  readonly #now: () => number;
  readonly #sleep: (milliseconds: number) => Promise<void>;
  /** When the next byte may be passed on, by the clock. */
  #free = -Infinity;

  /** @param rate in bytes a second */
  constructor(rate: number, { now = () => performance.now(), sleep = pause }: RateLimitOptions = {}) {
    this.#rate = rate;
    this.#now = now;
    this.#sleep = sleep;
  }

  /** Returns a stream of the same bytes. */
  limit(stream: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = stream.getReader();
    const most = Math.max(MIN_PIECE_BYTES, Math.floor(this.#rate / PIECES_PER_SECOND));
    let rest = new Uint8Array(0) as Uint8Array;
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        while (rest.length === 0) {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          rest = value;
        }
        const piece = rest.subarray(0, most);
        rest = rest.subarray(piece.length);
        await this.#waitFor(piece.length);
        controller.enqueue(piece);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  async #waitFor(bytes: number): Promise<void> {
    const now = this.#now();
    const start = Math.max(now, this.#free);
    this.#free = start + bytes * 1000 / this.#rate;
    if (start > now) await this.#sleep(start - now);
  }
}
