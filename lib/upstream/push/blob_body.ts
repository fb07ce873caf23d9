import { TransportError } from "../transport/transport_error.ts";
import type { BlobContent } from "./blob_content.ts";

/** Options of a `BlobBody`. */
interface BlobBodyOptions {
  /** How long the connection may take no bytes, in milliseconds. */
  readonly stallTimeout: number;
  /** Receives the number of bytes of each piece that is sent. */
  readonly onSent: (bytes: number) => void;
}

/** A whole blob as the body of a request, which may have to be sent more than once. The caller disposes of it. */
export class BlobBody implements AsyncDisposable {
  readonly #content: BlobContent;
  readonly #options: BlobBodyOptions;
  readonly #stalled = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(content: BlobContent, options: BlobBodyOptions) {
    this.#content = content;
    this.#options = options;
  }

  /** Aborts, with a `TransportError`, when the connection takes no more bytes. */
  get signal(): AbortSignal {
    return this.#stalled.signal;
  }

  /** Opens the content from its start. A stream that was opened before fails, as there may be only one. */
  async open(): Promise<ReadableStream<Uint8Array>> {
    await this[Symbol.asyncDispose]();
    const reader = this.#reader = (await this.#content.open(0)).getReader();
    return new ReadableStream({
      pull: async (controller) => {
        clearTimeout(this.#timer);
        const { value, done } = await reader.read();
        if (reader !== this.#reader) throw new Error("the content was opened again");
        // From here on the registry has its time to answer: a proxy may pass the blob on only now.
        if (done) return controller.close();
        this.#options.onSent(value.length);
        controller.enqueue(value);
        this.#timer = setTimeout(() => this.#noteStall(), this.#options.stallTimeout);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** Stops reading. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    const reader = this.#reader;
    this.#reader = undefined;
    // A content that has failed has nothing to close.
    await reader?.cancel().catch(() => {});
  }

  #noteStall(): void {
    const seconds = Math.round(this.#options.stallTimeout / 1000);
    this.#stalled.abort(new TransportError("stall", `the connection took no bytes in ${seconds} s`));
  }
}
