import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { drain } from "../bytes/file_stream.ts";
import type { FileReader } from "../bytes/shared_files.ts";
import type { OpenedBlob } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { NoSpaceError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";
import { continueFromStore } from "./continue_from_store.ts";
import type { DownloadedBlob, DownloadOptions } from "./download_options.ts";
import { type Follower, Relay } from "./relay.ts";

/** Bytes held back from readers until the digest is verified, so that no client ever has a complete corrupt blob. */
export const HELD_BACK_BYTES = 64 * 1024;

/** Received before a response starts. A page in place of a blob is shorter, and its length need not be stated. */
export const START_BYTES = 256 * 1024;

// How often a paused download checks whether it may continue, in milliseconds.
const PAUSE_MILLISECONDS = 100;

/**
 * A download of a blob that any number of readers follow: the download fills a file, and the readers read the file as
 * it grows. The download waits for no reader, and continues when all readers have left.
 *
 * If the disk fills up during the download, the blob is not cached. The readers receive the rest from memory, at the
 * pace of the slowest one, and the blob is still verified.
 */
export class SharedDownload {
  readonly digest: Digest;
  readonly size: number;
  /** Resolves when the blob is committed to the store; rejects when the download fails. */
  readonly done: Promise<void>;
  /** Whether the download resumed from a partial file. */
  readonly isResumed: boolean;
  readonly #ingest: Ingest;
  readonly #abort: (reason: unknown) => void;
  readonly #options: DownloadOptions;
  readonly #followers = new Set<Follower>();
  readonly #relay: Relay;
  #onDisk = Infinity;
  #available = 0;
  #failure: { readonly error: unknown } | undefined;
  #isCancelled = false;
  #isObsolete = false;
  #progress = Promise.withResolvers<void>();

  /** @param ingest the ingest that the download writes to */
  constructor(ingest: Ingest, { digest, size, body, abort }: DownloadedBlob, options: DownloadOptions) {
    this.digest = digest;
    this.size = size;
    this.isResumed = ingest.written > 0;
    this.#ingest = ingest;
    this.#abort = abort;
    this.#options = options;
    this.#relay = new Relay(this.#followers, digest, ingest.budget);
    this.#advance();
    this.done = this.#run(body);
    // Readers receive a failure through their own streams.
    this.done.catch(() => {});
  }

  /** Number of bytes received so far, including those of a partial file. */
  get received(): number {
    return this.#ingest.written;
  }

  /** Whether it has readers. */
  get isFollowed(): boolean {
    return this.#followers.size > 0;
  }

  /** Whether it has failed, or was cancelled. */
  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Whether it has the whole blob, verified, which is being committed. */
  get isCommitting(): boolean {
    return this.#available === this.size && !this.#isRelaying && this.#failure === undefined;
  }

  /** Whether it was ended by `cancel`. */
  get isCancelled(): boolean {
    return this.#isCancelled;
  }

  /**
   * Ends the download. Its readers continue with the store, if that has the blob.
   *
   * @param isObsolete whether the partial file is removed, because the store has the blob
   */
  cancel(reason: Error, isObsolete: boolean): void {
    if (this.#failure !== undefined || this.#available >= this.size) return;
    this.#isCancelled = true;
    this.#isObsolete = isObsolete;
    this.#failure = { error: reason };
    this.#abort(reason);
    this.#wake();
  }

  /**
   * Opens a reader of the file as it grows. It waits for the first 256 KiB, which a smaller blob has when it is verified:
   * an upstream that sends less, or a wrong blob, is an error and not the start of a response.
   *
   * @returns `undefined` when the download can no longer be followed: it was committed, or the disk is full
   * @throws {RegistryError} `RANGE_INVALID` when the range lies outside the blob
   */
  async follow(range?: ByteRange): Promise<OpenedBlob | undefined> {
    const { start, length } = resolveRange(this.size, range);
    const follower: Follower = { at: start, isDropped: false };
    // The follower is registered before the file is opened, so that relayed bytes that it needs are retained.
    if (this.#isRelaying) return undefined;
    this.#followers.add(follower);
    let file: FileReader | undefined;
    try {
      file = await this.#ingest.openReader(this.size);
      while (this.#available < Math.min(START_BYTES, this.size)) {
        if (this.#failure !== undefined) throw this.#failure.error;
        await this.#progress.promise;
      }
      return { size: this.size, start, length, body: this.#stream(file, follower, start + length) };
    } catch (error) {
      this.#followers.delete(follower);
      file?.close();
      if (this.#failure !== undefined) throw this.#failure.error;
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      // The file was moved into the store, and is linked to the repository in a moment.
      await this.done.catch(() => {});
      return undefined;
    }
  }

  /**
   * Waits for the end of the download. Rejects with the error that made it fail.
   *
   * @param onProgress called repeatedly with the number of bytes written so far
   */
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

  get #isRelaying(): boolean {
    return this.#onDisk !== Infinity;
  }

  async #run(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await drain(body, (chunk) => this.#receive(chunk));
      this.#ingest.finishVerify();
      // Readers receive the last bytes before the blob is synced and renamed, which they need not wait for. After a
      // power loss the blob may be missing.
      this.#advance(this.size);
      if (this.#isRelaying) await this.#finishRelay();
      await this.#ingest.commit();
    } catch (error) {
      if (this.#failure === undefined) {
        this.#failure = { error };
        this.#options.onFailure(error);
      }
      // The partial file is kept to resume from, unless its content is corrupt or not needed, or the disk is full.
      const isUseless = error instanceof DigestMismatchError || error instanceof NoSpaceError || this.#isObsolete;
      if (isUseless) await this.#ingest.abort();
      else this.#ingest.keep();
      throw error;
    } finally {
      this.#relay.clear();
      this.#wake();
    }
  }

  async #receive(chunk: Uint8Array): Promise<"kept" | void> {
    this.#options.onBytes(chunk.length);
    const start = this.#ingest.written;
    try {
      if (!this.#isRelaying) await this.#ingest.write(chunk);
    } catch (error) {
      if (!(error instanceof NoSpaceError) || this.#followers.size === 0) throw error;
      this.#onDisk = start;
      await this.#relayChunk(start, chunk);
      return;
    }
    if (this.#isRelaying) {
      this.#ingest.verify(chunk);
      await this.#relayChunk(start, chunk);
      return;
    }
    const isKept = this.#keepForReaders(start, chunk);
    this.#advance();
    await this.#waitWhilePaused();
    if (isKept) return "kept";
  }

  /** Keeps a chunk in memory if there are readers. Returns whether its own memory is used for that. */
  #keepForReaders(start: number, chunk: Uint8Array): boolean {
    if (this.#followers.size === 0) {
      this.#relay.clear();
      return false;
    }
    // A small part would keep all of its buffer in memory, and is copied.
    const isLarge = chunk.length > chunk.buffer.byteLength / 2;
    this.#relay.addCopy(start, isLarge ? chunk : chunk.slice());
    return isLarge;
  }

  async #waitWhilePaused(): Promise<void> {
    while (this.#followers.size === 0 && this.#failure === undefined && this.#options.mustPause?.()) {
      await new Promise<void>((resolve) => Deno.unrefTimer(setTimeout(resolve, PAUSE_MILLISECONDS)));
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #relayChunk(start: number, chunk: Uint8Array): Promise<void> {
    this.#relay.add(start, chunk.slice());
    this.#advance();
    await this.#relay.waitForReaders(this.#ingest.written);
  }

  /** Delivers the last bytes of a relayed blob. Always throws, because the blob is not cached. */
  async #finishRelay(): Promise<never> {
    await this.#relay.waitUntilRead(this.size);
    throw this.#relay.noSpace();
  }

  #advance(available = Math.min(this.#ingest.written, this.size - HELD_BACK_BYTES)): void {
    this.#available = available;
    this.#wake();
  }

  #wake(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  #stream(file: FileReader, follower: Follower, end: number): ReadableStream<Uint8Array> {
    const start = follower.at;
    let isOpen = true;
    let held: ReadableStreamDefaultReader<Uint8Array> | undefined;
    const leave = (reason?: unknown) => {
      if (!isOpen) return;
      isOpen = false;
      file.close();
      this.#followers.delete(follower);
      this.#relay.notify();
      held?.cancel(reason).catch(() => {});
    };
    const next = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      while (isOpen && held === undefined && follower.at >= this.#available && follower.at < end) {
        if (this.#failure === undefined) await this.#progress.promise;
        else {
          held = await continueFromStore({ file, start, at: follower.at, end }, this.#options.openHeld);
          if (held === undefined) throw this.#failure.error;
        }
      }
      if (!isOpen) return void held?.cancel().catch(() => {});
      if (follower.isDropped) throw new Error("Cannot send the blob: the client did not read for 30 s");
      if (follower.at < end) {
        const bytes = held === undefined ? await this.#read(file, follower.at, end) : (await held.read()).value;
        if (bytes === undefined) {
          throw new Error(`Cannot send ${this.digest}: the stored blob is shorter than expected`);
        }
        follower.at += bytes.length;
        controller.enqueue(bytes);
        this.#relay.notify();
      }
      // A range that ends before the held-back bytes is delivered at once: it is known not to be the whole blob.
      if (follower.at === end) {
        leave();
        controller.close();
      }
    };
    return new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          await next(controller);
        } catch (error) {
          leave(error);
          throw error;
        }
      },
      cancel: leave,
    }, { highWaterMark: 0 });
  }

  async #read(file: FileReader, at: number, end: number): Promise<Uint8Array> {
    const limit = Math.min(end, this.#available) - at;
    const inMemory = await this.#relay.read(at, limit);
    if (inMemory !== undefined) return inMemory;
    // The bytes were only in memory, and the download has failed.
    if (at >= this.#onDisk) throw this.#failure?.error ?? this.#relay.noSpace();
    return await file.read(at, Math.min(limit, this.#onDisk - at));
  }
}
