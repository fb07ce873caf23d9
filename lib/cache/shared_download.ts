import { pause } from "../bytes/pause.ts";
import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { drain } from "../bytes/file_stream.ts";
import type { FileReader } from "../bytes/shared_files.ts";
import type { OpenedBlob } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { isAbsent } from "../files/if_present.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CrpeError, NoSpaceError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";
import { continueFromStore } from "./continue_from_store.ts";
import { ReceivedBytes, START_BYTES } from "./received_bytes.ts";
import type { Follower } from "./relay.ts";

/** The blob of a `SharedDownload`. */
interface DownloadedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** The rest of the blob, from byte `ingest.written` on. */
  readonly body: ReadableStream<Uint8Array>;
  /** Aborts the transfer of `body`. */
  readonly abort: (reason: unknown) => void;
}

/** Options of a `SharedDownload`. */
interface DownloadOptions {
  /** Called with the number of bytes of each received chunk. */
  readonly onBytes: (count: number) => void;
  /** Called with the error that ends the download, before a reader receives it, unless the download was cancelled. */
  readonly onFailure: (error: unknown) => void;
  /** Opens the blob in the store, where another download may have committed it. */
  readonly openHeld: (range: ByteRange) => Promise<OpenedBlob | undefined>;
  /** Reports whether the download must wait. It never waits while it has readers. */
  readonly mustPause?: () => boolean;
  /** Whether the partial file is kept to resume from when the download fails. Default: true. */
  readonly isKept?: boolean | undefined;
  /** Whether another crpe sends the blob, and the next download gets it from the upstream. */
  readonly isFromPeer?: boolean | undefined;
}

/** Bytes held back from readers until the digest is verified, so that no client ever has a complete corrupt blob. */
export const HELD_BACK_BYTES = 64 * 1024;

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
  /** Whether another download may get the right content where this one did not: it resumed, or a peer sends the blob. */
  readonly isUnproven: boolean;
  readonly #ingest: Ingest;
  readonly #abort: (reason: unknown) => void;
  readonly #options: DownloadOptions;
  readonly #followers = new Set<Follower>();
  readonly #bytes: ReceivedBytes;
  #available = 0;
  #failure: { readonly error: unknown } | undefined;
  #isCancelled = false;
  #isObsolete = false;
  #isOver = false;
  #progress = Promise.withResolvers<void>();

  /** @param ingest the ingest that the download writes to */
  constructor(ingest: Ingest, { digest, size, body, abort }: DownloadedBlob, options: DownloadOptions) {
    this.digest = digest;
    this.size = size;
    this.isUnproven = ingest.written > 0 || options.isFromPeer === true;
    this.#ingest = ingest;
    this.#abort = abort;
    this.#options = options;
    this.#bytes = new ReceivedBytes(ingest, this.#followers, digest);
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
    return this.#available === this.size && !this.#bytes.isDiskFull && this.#failure === undefined;
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
   * @returns `undefined` when the download can no longer be followed: it was committed, or the store cannot take it
   * @throws {RegistryError} `RANGE_INVALID` when the range lies outside the blob
   */
  async follow(range?: ByteRange): Promise<OpenedBlob | undefined> {
    const { start, length } = resolveRange(this.size, range);
    const follower: Follower = { at: start, isDropped: false };
    // The follower is registered before the file is opened, so that relayed bytes that it needs are retained.
    if (this.#bytes.isDiskFull) return undefined;
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
      if (this.#isOver && !this.isFollowed) this.#bytes.clear();
      file?.close();
      const isVerified = this.#available === this.size;
      if (this.#failure !== undefined && !isVerified) throw this.#failure.error;
      if (!isAbsent(error)) throw error;
      // The file was moved into the store, and is linked to the repository in a moment; or it could not be, and is removed.
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

  async #run(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await drain(body, (chunk) => this.#receive(chunk));
      this.#ingest.finishVerify();
      // Readers receive the last bytes before the blob is written, synced and renamed, which they need not wait for.
      // After a power loss the blob may be missing.
      this.#advance(this.size);
      await this.#bytes.flush();
      if (this.#bytes.isDiskFull) await this.#bytes.finishRelay();
      await this.#ingest.commit();
      if (!this.isFollowed) this.#bytes.clear();
    } catch (error) {
      if (this.#failure === undefined) {
        this.#failure = { error };
        this.#options.onFailure(error);
      }
      await this.#bytes.settle();
      // The partial file is kept to resume from, unless its content is corrupt or not needed, or the disk is full.
      const isUseless = this.#options.isKept === false || this.#isObsolete ||
        error instanceof DigestMismatchError || error instanceof NoSpaceError;
      if (isUseless) await this.#ingest.abort();
      else this.#ingest.keep();
      this.#bytes.clear();
      throw error;
    } finally {
      this.#isOver = true;
      this.#wake();
    }
  }

  async #receive(chunk: Uint8Array): Promise<"kept" | void> {
    this.#options.onBytes(chunk.length);
    const kept = await this.#bytes.add(chunk, () => this.#advance());
    if (!this.#bytes.isDiskFull) await this.#waitWhilePaused();
    return kept;
  }

  async #waitWhilePaused(): Promise<void> {
    while (this.#followers.size === 0 && this.#failure === undefined && this.#options.mustPause?.()) {
      await pause(PAUSE_MILLISECONDS, { isUnref: true });
    }
    if (this.#failure !== undefined) throw this.#failure.error;
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
      if (this.#isOver && !this.isFollowed) this.#bytes.clear();
      this.#bytes.notify();
      held?.cancel(reason).catch(() => {});
    };
    const next = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      while (isOpen && held === undefined && follower.at >= this.#available && follower.at < end) {
        if (this.#failure === undefined) await this.#progress.promise;
        else {
          // What the reader was given is compared with the store, from the file.
          await this.#bytes.settle();
          held = await continueFromStore({ file, start, at: follower.at, end }, this.#options.openHeld);
          if (held === undefined) throw this.#failure.error;
        }
      }
      if (!isOpen) return void held?.cancel().catch(() => {});
      if (follower.isDropped) throw new CrpeError(cannot("send the blob", "the client did not read for 30 s"));
      if (follower.at < end) {
        const bytes = held === undefined ? await this.#read(file, follower.at, end) : (await held.read()).value;
        if (bytes === undefined) {
          throw new CrpeError(cannot(`send ${this.digest}`, "the stored blob is shorter than expected"));
        }
        follower.at += bytes.length;
        controller.enqueue(bytes);
        this.#bytes.notify();
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
    const bytes = await this.#bytes.read(file, at, Math.min(end, this.#available) - at);
    // The bytes were only in memory, and the download has failed.
    if (bytes === undefined) throw this.#failure?.error ?? this.#bytes.noSpace();
    return bytes;
  }
}
