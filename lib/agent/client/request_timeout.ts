import { AgentError } from "./agent_error.ts";

/** The time-outs of a request. */
interface RequestTimeoutOptions {
  /** The time in which the connection must accept more of the body, in milliseconds. */
  readonly stallTimeout: number;
  /** The time in which the response, or more of it, must be received after the body was sent, in milliseconds. */
  readonly answerTimeout: number;
}

/** Aborts a request whose body makes no progress, or whose response is not received in time. */
export class RequestTimeout implements Disposable {
  readonly #abort = new AbortController();
  readonly #options: RequestTimeoutOptions;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #failure: unknown;
  #isSent = false;

  constructor(options: RequestTimeoutOptions) {
    this.#options = options;
  }

  /** Aborts the request. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The time-out, or the failure of the body's source. The runtime reports these with errors of its own instead. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Returns a stream of the same body whose progress is monitored. */
  follow(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const reader = this.#reader = body.getReader();
    this.#arm(this.#options.stallTimeout);
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        // The time for reading from the local disk does not count.
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

  /** Starts the time-out for the response; the request was sent. */
  expectAnswer(): void {
    this.#isSent = true;
    this.#arm(this.#options.answerTimeout);
  }

  /** Starts the time-out for the response again: a part of it was received, so that the agent is at work. */
  noteAnswer(): void {
    if (this.#isSent) this.#arm(this.#options.answerTimeout);
  }

  /** Cancels the rest of the body, after success and after failure. */
  async end(): Promise<void> {
    await this.#reader?.cancel().catch(() => {});
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #arm(timeout: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#failure = new AgentError(`no progress for ${timeout / 1000} s`, { isTransient: true });
      this.#abort.abort(this.#failure);
    }, timeout);
  }
}
