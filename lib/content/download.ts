import type { Digest } from "../oci/digest.ts";
import { NoSpaceError } from "../oci/error.ts";
import { CHUNK_BYTES, drain } from "./byte_stream.ts";
import type { Ingest } from "./ingest.ts";
import { type ByteRange, type OpenedBlob, resolveRange } from "./source.ts";
import { DigestMismatchError } from "./verify.ts";

// Kept from the readers until the digest is right, so that no client ever holds a complete wrong blob.
const HELD_BACK_BYTES = 64 * 1024;

/**
 * One download of a blob that any number of readers follow: it fills a file, they read the file as it grows. It waits
 * for none of them, and goes on when all of them have left.
 */
export class Download {
  readonly digest: Digest;
  readonly size: number;
  /** Settles when the blob is in the store, or with what went wrong. */
  readonly done: Promise<void>;
  readonly #ingest: Ingest;
  #available = 0;
  #failure: { readonly error: unknown } | undefined;
  #progress = Promise.withResolvers<void>();

  /** @param blob its `body` begins at byte `ingest.written` */
  constructor(ingest: Ingest, blob: { digest: Digest; size: number; body: ReadableStream<Uint8Array> }) {
    this.digest = blob.digest;
    this.size = blob.size;
    this.#ingest = ingest;
    this.#advance();
    this.done = this.#run(blob.body);
    // Those who follow hear of a failure through their own stream.
    this.done.catch(() => {});
  }

  /**
   * A reader of the file as it grows, or `undefined` when the file has moved into the store meanwhile.
   *
   * @throws {RegistryError} `RANGE_INVALID`
   */
  async follow(range?: ByteRange): Promise<OpenedBlob | undefined> {
    const { start, length } = resolveRange(this.size, range);
    try {
      const file = await this.#ingest.openReader();
      return { size: this.size, start, length, body: this.#stream(file, start, length) };
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
    }
  }

  /** Waits for the end, and tells of each step how many bytes there are. @throws what made the download fail */
  async watch(onProgress: (bytes: number) => void): Promise<void> {
    let isRunning = true;
    const ended = this.done.finally(() => isRunning = false);
    ended.catch(() => {});
    while (isRunning) {
      await Promise.race([ended, this.#progress.promise]);
      onProgress(this.#ingest.written);
    }
    await ended;
  }

  async #run(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await drain(body, async (chunk) => {
        await this.#ingest.write(chunk);
        this.#advance();
      });
      await this.#ingest.commit();
      this.#advance(this.size);
    } catch (error) {
      this.#failure = { error };
      // What came before a cut is worth keeping, unless it is wrong or its space is needed.
      if (error instanceof DigestMismatchError || error instanceof NoSpaceError) await this.#ingest.abort();
      else this.#ingest.keep();
      throw error;
    } finally {
      this.#wake();
    }
  }

  #advance(available = Math.min(this.#ingest.written, this.size - HELD_BACK_BYTES)): void {
    this.#available = available;
    this.#wake();
  }

  #wake(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  #stream(file: Deno.FsFile, start: number, length: number): ReadableStream<Uint8Array> {
    let at = start;
    const end = start + length;
    const next = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      while (at >= this.#available && at < end) {
        if (this.#failure !== undefined) throw this.#failure.error;
        await this.#progress.promise;
      }
      if (at < end) {
        const buffer = new Uint8Array(Math.min(CHUNK_BYTES, end - at, this.#available - at));
        const got = await file.read(buffer);
        if (got === null) throw new Error(`Cannot read on: the file of ${this.digest} ends early`);
        at += got;
        controller.enqueue(got === buffer.length ? buffer : buffer.subarray(0, got));
      }
      // The end of a part that lies before the held-back bytes is given at once: its reader knows that it is a part.
      if (at === end) {
        file.close();
        controller.close();
      }
    };
    let closed = false;
    return new ReadableStream<Uint8Array>({
      start() {
        if (start > 0) file.seekSync(start, Deno.SeekMode.Start);
      },
      async pull(controller) {
        try {
          await next(controller);
        } catch (error) {
          if (!closed) file.close();
          closed = true;
          throw error;
        }
      },
      cancel() {
        if (!closed) file.close();
        closed = true;
      },
    }, { highWaterMark: 0 });
  }
}
