/** A stream of JSON documents, one per line. Writing never waits for the reader; lines are dropped instead. */
export class NdjsonStream {
  readonly readable: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #isOpen = true;

  constructor() {
    this.readable = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => {
        this.#isOpen = false;
      },
    }, { highWaterMark: MAX_WAITING });
  }

  /** Writes a line, or drops it if too many lines are unread. */
  offer(value: unknown): void {
    if (this.#isOpen && (this.#controller.desiredSize ?? 0) > 0) this.#write(value);
  }

  /** Writes the last line, which is never dropped, and closes the stream. */
  end(value: unknown): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#write(value);
    this.#controller.close();
  }

  #write(value: unknown): void {
    this.#controller.enqueue(new TextEncoder().encode(`${JSON.stringify(value)}\n`));
  }
}

const MAX_WAITING = 16;
