import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { drain, FileChunks } from "../bytes/file_stream.ts";
import type { OpenedBlob } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { NoSpaceError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";

/** Bytes held back from readers until the digest is verified, so that no client ever has a complete corrupt blob. */
export const HELD_BACK_BYTES = 64 * 1024;

// Size of the in-memory buffer for readers when the disk is full, in bytes.
const RELAY_BYTES = 8 * 1024 * 1024;

/** Bytes that are relayed from memory, because the disk is full. */
interface Relayed {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** A reader of the download. */
interface Follower {
  /** Position of the next byte to read. */
  at: number;
  /** Whether the reader was dropped, because it stalled the other readers for too long. */
  isDropped: boolean;
}

// Time for which a slow reader may stall the others while bytes are relayed from memory, in milliseconds.
const READER_TIMEOUT_MILLISECONDS = 30_000;

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
  readonly #onBytes: (count: number) => void;
  readonly #followers = new Set<Follower>();
  #relayed: Relayed[] = [];
  #onDisk = Infinity;
  #available = 0;
  #failure: { readonly error: unknown } | undefined;
  #progress = Promise.withResolvers<void>();

  /**
   * @param ingest the ingest that the download writes to
   * @param blob the blob; `body` starts at byte `ingest.written`
   * @param onBytes called with the number of bytes of each received chunk
   */
  constructor(
    ingest: Ingest,
    blob: { digest: Digest; size: number; body: ReadableStream<Uint8Array> },
    onBytes: (count: number) => void = () => {},
  ) {
    this.digest = blob.digest;
    this.size = blob.size;
    this.isResumed = ingest.written > 0;
    this.#ingest = ingest;
    this.#onBytes = onBytes;
    this.#advance();
    this.done = this.#run(blob.body);
    // Readers receive a failure through their own streams.
    this.done.catch(() => {});
  }

  /**
   * Opens a reader of the file as it grows.
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
    try {
      const file = await this.#ingest.openReader();
      return { size: this.size, start, length, body: this.#stream(file, follower, start + length) };
    } catch (error) {
      this.#followers.delete(follower);
      if (this.#failure !== undefined) throw this.#failure.error;
      if (error instanceof Deno.errors.NotFound) return undefined;
      throw error;
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
      if (this.#isRelaying) await this.#finishRelay();
      // Readers receive the last bytes only after the commit: a client that has the whole blob can rely on it being
      // cached.
      await this.#ingest.commit();
      this.#advance(this.size);
    } catch (error) {
      this.#failure = { error };
      // The partial file is kept to resume from, unless its content is corrupt or the disk is full.
      if (error instanceof DigestMismatchError || error instanceof NoSpaceError) await this.#ingest.abort();
      else this.#ingest.keep();
      throw error;
    } finally {
      this.#wake();
    }
  }

  async #receive(chunk: Uint8Array): Promise<void> {
    this.#onBytes(chunk.length);
    const start = this.#ingest.written;
    try {
      if (!this.#isRelaying) await this.#ingest.write(chunk);
    } catch (error) {
      if (!(error instanceof NoSpaceError) || this.#followers.size === 0) throw error;
      this.#onDisk = start;
      await this.#relay({ start, bytes: chunk.slice() });
      return;
    }
    if (this.#isRelaying) {
      this.#ingest.verify(chunk);
      await this.#relay({ start, bytes: chunk.slice() });
    } else this.#advance();
  }

  async #relay(piece: Relayed): Promise<void> {
    this.#relayed.push(piece);
    this.#advance();
    await this.#waitUntilRead(this.#ingest.written - RELAY_BYTES);
  }

  /** Verifies a relayed blob and delivers its last bytes. Always throws, because the blob is not cached. */
  async #finishRelay(): Promise<never> {
    this.#ingest.finishVerify();
    this.#advance(this.size);
    await this.#waitUntilRead(this.size);
    throw new NoSpaceError(`Cannot cache ${this.digest}: no space left on the device`);
  }

  /**
   * Waits until all followers have read up to a position.
   *
   * @throws {NoSpaceError} when there are no followers left
   */
  async #waitUntilRead(position: number): Promise<void> {
    for (;;) {
      if (this.#followers.size === 0 && position < this.size) {
        throw new NoSpaceError(`Cannot cache ${this.digest}: no space left on the device`);
      }
      const slowest = Math.min(...[...this.#followers].map(({ at }) => at));
      this.#relayed = this.#relayed.filter(({ start, bytes }) => start + bytes.length > slowest);
      if (slowest >= position) return;
      await this.#waitForReader(slowest);
    }
  }

  async #waitForReader(slowest: number): Promise<void> {
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      for (const follower of this.#followers) {
        if (follower.at > slowest) continue;
        follower.isDropped = true;
        this.#followers.delete(follower);
      }
      timeout.resolve();
    }, READER_TIMEOUT_MILLISECONDS);
    try {
      await Promise.race([this.#progress.promise, timeout.promise]);
    } finally {
      clearTimeout(timer);
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

  #stream(file: Deno.FsFile, follower: Follower, end: number): ReadableStream<Uint8Array> {
    let isOpen = true;
    const chunks = new FileChunks(file);
    const leave = () => {
      if (!isOpen) return;
      isOpen = false;
      chunks.close();
      this.#followers.delete(follower);
      this.#leaveRelay();
    };
    const next = async (controller: ReadableStreamDefaultController<Uint8Array>) => {
      while (isOpen && follower.at >= this.#available && follower.at < end) {
        if (this.#failure !== undefined) throw this.#failure.error;
        await this.#progress.promise;
      }
      if (!isOpen) return;
      if (follower.isDropped) throw new Error("Cannot send the blob: the client did not read for 30 s");
      if (follower.at < end) {
        const bytes = await this.#read(chunks, follower.at, end);
        follower.at += bytes.length;
        controller.enqueue(bytes);
        this.#leaveRelay();
      }
      // A range that ends before the held-back bytes is delivered at once: its reader knows that it is not the whole
      // blob.
      if (follower.at === end) {
        leave();
        controller.close();
      }
    };
    return new ReadableStream<Uint8Array>({
      start() {
        if (follower.at > 0) file.seekSync(follower.at, Deno.SeekMode.Start);
      },
      async pull(controller) {
        try {
          await next(controller);
        } catch (error) {
          leave();
          throw error;
        }
      },
      cancel: leave,
    }, { highWaterMark: 0 });
  }

  async #read(chunks: FileChunks, at: number, end: number): Promise<Uint8Array> {
    const relayed = this.#relayed.find(({ start, bytes }) => start <= at && at < start + bytes.length);
    const limit = Math.min(end, this.#available) - at;
    if (relayed !== undefined) return relayed.bytes.slice(at - relayed.start, at - relayed.start + limit);
    return await chunks.read(Math.min(limit, this.#onDisk - at));
  }

  // Wakes the download, which waits for its readers only while it relays.
  #leaveRelay(): void {
    if (this.#isRelaying) this.#wake();
  }
}
