import { formatJsonBody, jsonHeaders } from "./answer.ts";

const PIECE_BYTES = 64 * 1024;

interface Entry {
  running?: Promise<Uint8Array>;
  /** For callers that arrived after `running` had started, which may not see the latest changes. */
  next?: Promise<Uint8Array>;
  /** The bytes of the last answer, as long as a response is sending them. */
  last?: WeakRef<Uint8Array>;
}

/**
 * Shares the work of large answers that clients may request without a token. For any number of requests, and however
 * slowly their clients read, an answer is computed only once at a time, and equal answers are in memory once.
 */
export class CoalescedResponses {
  readonly #entries = new Map<string, Entry>();

  /**
   * Creates a response with a JSON document.
   *
   * @param key identifies the answer; equal requests share one
   * @param find computes the answer; a computation that started before this call is not used
   * @throws as `find` does
   */
  async answer(key: string, find: () => Promise<unknown>, headers: Record<string, string> = {}): Promise<Response> {
    const entry = this.#entries.get(key) ?? {};
    this.#entries.set(key, entry);
    try {
      const bytes = await this.#read(entry, find);
      return new Response(streamOf(bytes) as BodyInit, { headers: { ...jsonHeaders(bytes.length), ...headers } });
    } finally {
      if (entry.running === undefined && entry.last?.deref() === undefined) this.#entries.delete(key);
    }
  }

  #read(entry: Entry, find: () => Promise<unknown>): Promise<Uint8Array> {
    const { running } = entry;
    if (running === undefined) return entry.running = this.#run(entry, find);
    return entry.next ??= running.catch(() => {}).then(() => {
      delete entry.next;
      return entry.running = this.#run(entry, find);
    });
  }

  async #run(entry: Entry, find: () => Promise<unknown>): Promise<Uint8Array> {
    try {
      const bytes = formatJsonBody(await find());
      const last = entry.last?.deref();
      if (last !== undefined && isSame(last, bytes)) return last;
      entry.last = new WeakRef(bytes);
      return bytes;
    } finally {
      delete entry.running;
    }
  }
}

// The runtime would copy a whole buffer for each response, so the bytes are sent in small copies.
function streamOf(bytes: Uint8Array): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(bytes.slice(at, at + PIECE_BYTES));
      at += PIECE_BYTES;
      if (at >= bytes.length) controller.close();
    },
  }, { highWaterMark: 0 });
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
