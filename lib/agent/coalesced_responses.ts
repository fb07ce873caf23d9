import { formatJsonBody, jsonHeaders } from "./answer.ts";

const PIECE_BYTES = 64 * 1024;

interface Entry {
  running?: Promise<Uint8Array>;
  /** For those that came when `running` had begun, and may know of something that it does not. */
  next?: Promise<Uint8Array>;
  /** As long as somebody is being sent them. */
  last?: WeakRef<Uint8Array>;
}

/**
 * Answers that anybody may ask for, and that may be large. However many ask, and however slowly they read: what they are
 * told is found out for one at a time, and is in memory once as long as it stays the same.
 */
export class CoalescedResponses {
  readonly #entries = new Map<string, Entry>();

  /**
   * A JSON document.
   *
   * @param key the same for the same question
   * @param find finds out what the answer is; begun after this was called
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

// What is given whole to the runtime is copied whole.
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
