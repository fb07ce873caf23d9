import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { drain, FileChunks } from "../bytes/file_stream.ts";
import type { OpenedBlob } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { NoSpaceError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";

/** Kept from the readers until the digest is right, so that no client ever holds a complete wrong blob; in bytes. */
export const HELD_BACK_BYTES = 64 * 1024;

// What is in memory for the readers when the disk is full, in bytes.
const RELAY_BYTES = 8 * 1024 * 1024;

/** Bytes that found no room on the disk. */
interface Relayed {
  readonly start: number;
  readonly bytes: Uint8Array;
}

/** Who reads along, and how far. */
interface Follower {
  at: number;
  /** It did not read on for too long, when others had to wait for it. */
  isDropped: boolean;
}

// How long a reader that does not read may keep the others waiting, in milliseconds.
const PATIENCE_MILLISECONDS = 30_000;

/**
 * One download of a blob that any number of readers follow: it fills a file, they read the file as it grows. It waits
 * for none of them, and goes on when all of them have left.
 *
 * Where the disk fills up on the way, nothing will be kept; those who follow get the rest from memory, at the pace of the
 * slowest, and the blob is verified all the same.
 */
export class Download {
  readonly digest: Digest;
  readonly size: number;
  /** Settles when the blob is in the store, or with what went wrong. */
  readonly done: Promise<void>;
  /** Whether it went on from what an earlier one had left. */
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
   * @param blob its `body` begins at byte `ingest.written`
   * @param onBytes told of bytes that have come
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
    // Those who follow hear of a failure through their own stream.
    this.done.catch(() => {});
  }

  /**
   * A reader of the file as it grows, or `undefined` when it can be followed no more: the file has moved into the store,
   * or there is no room for it.
   *
   * @throws {RegistryError} `RANGE_INVALID`
   */
  async follow(range?: ByteRange): Promise<OpenedBlob | undefined> {
    const { start, length } = resolveRange(this.size, range);
    const follower: Follower = { at: start, isDropped: false };
    // Before the file is opened: from here on what it needs is kept.
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

  get #isRelaying(): boolean {
    return this.#onDisk !== Infinity;
  }

  async #run(body: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await drain(body, (chunk) => this.#take(chunk));
      if (this.#isRelaying) await this.#finishRelay();
      // Readers wait for this: who has the whole blob may count on its being here the next time too.
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

  async #take(chunk: Uint8Array): Promise<void> {
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
    await this.#untilPassed(this.#ingest.written - RELAY_BYTES);
  }

  /** What was relayed has the right digest, or this throws; it is given out, but not kept. */
  async #finishRelay(): Promise<never> {
    this.#ingest.finishVerify();
    this.#advance(this.size);
    await this.#untilPassed(this.size);
    throw new NoSpaceError(`Cannot keep ${this.digest}: there is no space left on the device`);
  }

  /** Waits until all followers have passed a position. @throws {NoSpaceError} when there is none left to read for */
  async #untilPassed(position: number): Promise<void> {
    for (;;) {
      if (this.#followers.size === 0 && position < this.size) {
        throw new NoSpaceError(`Cannot keep ${this.digest}: there is no space left on the device`);
      }
      const slowest = Math.min(...[...this.#followers].map(({ at }) => at));
      this.#relayed = this.#relayed.filter(({ start, bytes }) => start + bytes.length > slowest);
      if (slowest >= position) return;
      await this.#waitForReader(slowest);
    }
  }

  async #waitForReader(slowest: number): Promise<void> {
    const patience = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      for (const follower of this.#followers) {
        if (follower.at > slowest) continue;
        follower.isDropped = true;
        this.#followers.delete(follower);
      }
      patience.resolve();
    }, PATIENCE_MILLISECONDS);
    try {
      await Promise.race([this.#progress.promise, patience.promise]);
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
      if (follower.isDropped) throw new Error("Cannot give on: the reader did not read for too long");
      if (follower.at < end) {
        const bytes = await this.#read(chunks, follower.at, end);
        follower.at += bytes.length;
        controller.enqueue(bytes);
        this.#leaveRelay();
      }
      // The end of a part that lies before the held-back bytes is given at once: its reader knows that it is a part.
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

  // Only then does the download wait for its readers.
  #leaveRelay(): void {
    if (this.#isRelaying) this.#wake();
  }
}
