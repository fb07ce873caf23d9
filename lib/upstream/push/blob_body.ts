import type { BlobContent } from "./blob_content.ts";

/** A whole blob as the body of a request, which may have to be sent more than once. The caller disposes of it. */
export class BlobBody implements AsyncDisposable {
  readonly #content: BlobContent;
  readonly #onSent: (bytes: number) => void;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  /** @param onSent receives the number of bytes of each piece that is sent */
  constructor(content: BlobContent, onSent: (bytes: number) => void) {
    this.#content = content;
    this.#onSent = onSent;
  }

  /** Opens the content from its start. A stream that was opened before fails, as there may be only one. */
  async open(): Promise<ReadableStream<Uint8Array>> {
    await this[Symbol.asyncDispose]();
    const reader = this.#reader = (await this.#content.open(0)).getReader();
    return new ReadableStream({
      pull: async (controller) => {
        const { value, done } = await reader.read();
        if (reader !== this.#reader) throw new Error("the content was opened again");
        if (done) return controller.close();
        this.#onSent(value.length);
        controller.enqueue(value);
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /** Stops reading. */
  async [Symbol.asyncDispose](): Promise<void> {
    const reader = this.#reader;
    this.#reader = undefined;
    // A content that has failed has nothing to close.
    await reader?.cancel().catch(() => {});
  }
}
