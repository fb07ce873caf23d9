import { AgentError } from "./agent_error.ts";

/** How long a request may do nothing. */
export interface RequestWatchOptions {
  /** How long none of the body may be taken, in milliseconds. */
  readonly stallTimeout: number;
  /** How long the answer may take when all is sent, in milliseconds. */
  readonly answerTimeout: number;
}

/** Watches over a request: that its body is taken, and that its answer comes. */
export class RequestTimeout implements Disposable {
  readonly #abort = new AbortController();
  readonly #options: RequestWatchOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #failure: unknown;

  constructor(options: RequestWatchOptions) {
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** What went wrong on this side: the runtime words it in its own way. */
  get failure(): unknown {
    return this.#failure;
  }

  /** The same body, watched. */
  follow(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = this.#reader = body.getReader();
    this.#arm(this.#options.stallTimeout);
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        // The time that our own disk takes does not count.
        clearTimeout(this.#timer);
        try {
          const { done, value } = await reader.read();
          if (done) {
            this.expectAnswer();
            return controller.close();
          }
          this.#arm(this.#options.stallTimeout);
          controller.enqueue(value);
        } catch (error) {
          this.#failure ??= error;
          throw error;
        }
      },
    }, { highWaterMark: 0 });
  }

  /** All is sent. */
  expectAnswer(): void {
    this.#arm(this.#options.answerTimeout);
  }

  /** The request is over, however it ended. */
  async end(): Promise<void> {
    await this.#reader?.cancel().catch(() => {});
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #arm(timeout: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#failure = new AgentError(`nothing moved for ${timeout / 1000} s`, { isTransient: true });
      this.#abort.abort(this.#failure);
    }, timeout);
  }
}
