import { SMALLEST_CHUNK_BYTES } from "./chunk_budget.ts";

/** A result with bytes that many responses may send. */
export interface WithBytes {
  readonly body: Uint8Array;
}

interface Entry<Result> {
  running?: Promise<Result>;
  /** For callers that arrived after `running` had started, which may not see the latest changes. */
  next?: Promise<Result>;
  /** The bytes of the last result, as long as a response is sending them. */
  last?: WeakRef<Uint8Array>;
}

const MAX_ENTRIES = 1000;
// Entries outlive their calls, and a URL may have 64 KiB: that of a longer key is removed after its last call.
const MAX_KEY_LENGTH = 256;

/**
 * Shares the work of large results. For any number of callers, and however slowly the bytes are sent, a result is computed
 * only once at a time, and equal bytes are in memory once.
 */
export class SharedResults<Result extends WithBytes> {
  readonly #entries = new Map<string, Entry<Result>>();

  /**
   * Computes a result.
   *
   * @param key identifies the result; equal calls share one
   * @param compute a computation that started before this call is not used
   * @throws as `compute` does
   */
  async get(key: string, compute: () => Promise<Result>): Promise<Result> {
    if (this.#entries.size >= MAX_ENTRIES) this.#prune();
    const entry = this.#entries.get(key) ?? {};
    this.#entries.set(key, entry);
    try {
      return await this.#read(entry, compute);
    } finally {
      const isOver = entry.running === undefined && entry.next === undefined;
      if (isOver && key.length > MAX_KEY_LENGTH && this.#entries.get(key) === entry) this.#entries.delete(key);
    }
  }

  // An entry is tiny, so those without bytes are removed only when there are many.
  #prune(): void {
    for (const [key, { running, last }] of this.#entries) {
      if (running === undefined && last?.deref() === undefined) this.#entries.delete(key);
    }
  }

  #read(entry: Entry<Result>, compute: () => Promise<Result>): Promise<Result> {
    const { running, next } = entry;
    // Also for the moment in which `running` has ended and `next` has not started.
    if (next !== undefined) return next;
    if (running === undefined) return entry.running = this.#run(entry, compute);
    return entry.next = running.catch(() => {}).then(() => {
      delete entry.next;
      return entry.running = this.#run(entry, compute);
    });
  }

  async #run(entry: Entry<Result>, compute: () => Promise<Result>): Promise<Result> {
    try {
      const result = await compute();
      const last = entry.last?.deref();
      if (last !== undefined && isSameBytes(last, result.body)) return { ...result, body: last };
      entry.last = new WeakRef(result.body);
      return result;
    } finally {
      delete entry.running;
    }
  }
}

/**
 * Streams bytes that are in memory. The runtime would copy all of them for each response, so they are sent in small copies.
 *
 * @param onEnd called once when the last bytes were read, or the stream was cancelled
 */
export function streamCopies(bytes: Uint8Array, onEnd: () => void = () => {}): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      const piece = bytes.slice(at, at + SMALLEST_CHUNK_BYTES);
      controller.enqueue(piece);
      at += piece.length;
      if (at < bytes.length) return;
      controller.close();
      onEnd();
    },
    cancel: onEnd,
  }, { highWaterMark: 0 });
}

/** Reports whether two arrays have the same bytes. */
export function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
