import type { FileReader } from "../bytes/shared_files.ts";
import { NoSpaceError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";
import { type Follower, Relay } from "./relay.ts";

/** Bytes that readers get before they are written, at most, so that a disk that is slow for a moment delays no reader. */
export const UNWRITTEN_BYTES = 4 * 1024 * 1024;

/** Received before a response starts. A page in place of a blob is shorter, and its length need not be stated. */
export const START_BYTES = 256 * 1024;

/** The part of an `Ingest` that is used here. */
export type WrittenFile = Pick<Ingest, "budget" | "stored" | "verify" | "write" | "written">;

interface UnfinishedWrite {
  readonly length: number;
  readonly written: Promise<void>;
}

/**
 * The bytes of a download that were received so far: those in its file, and the last ones in memory for its readers,
 * who do not wait until they are written. When the disk is full, the rest is only in memory, and passes at the pace of
 * the slowest reader.
 */
export class ReceivedBytes {
  readonly #ingest: WrittenFile;
  readonly #followers: Set<Follower>;
  readonly #relay: Relay;
  /** Number of bytes that an earlier download has left. */
  readonly #begun: number;
  /** The oldest first. */
  readonly #unfinished: UnfinishedWrite[] = [];
  #isDiskFull = false;

  /**
   * @param ingest the ingest that the bytes are written to
   * @param followers the readers
   * @param what the content, for errors
   */
  constructor(ingest: WrittenFile, followers: Set<Follower>, what: string) {
    this.#ingest = ingest;
    this.#begun = ingest.written;
    this.#followers = followers;
    this.#relay = new Relay(followers, what, ingest.budget);
  }

  /** Whether the disk is full, and further bytes are not written. */
  get isDiskFull(): boolean {
    return this.#isDiskFull;
  }

  /**
   * Adds a chunk.
   *
   * @param onAvailable called when readers may read the chunk
   * @returns `"kept"` if the memory of the chunk must not be used again
   * @throws {NoSpaceError} when the disk is full, and there are no readers
   */
  async add(chunk: Uint8Array, onAvailable: () => void): Promise<"kept" | void> {
    const start = this.#ingest.written;
    if (this.#isDiskFull) {
      this.#ingest.verify(chunk);
      return await this.#addUnwritten(start, chunk, onAvailable);
    }
    // The first bytes are kept for the client that the download was begun for, who joins in a moment.
    const isFollowed = this.#followers.size > 0 || start < this.#begun + START_BYTES;
    // A small part would keep all of its buffer in memory, and is copied.
    const isKept = isFollowed && chunk.length > chunk.buffer.byteLength / 2;
    const bytes = isFollowed && !isKept ? chunk.slice() : chunk;
    this.#write(bytes);
    if (isFollowed) {
      this.#relay.addCopy(start, bytes, () => this.#ingest.stored);
      onAvailable();
    }
    if (!await this.#finishWrites(isFollowed && !this.#ingest.budget.isScarce ? UNWRITTEN_BYTES : 0)) {
      if (isFollowed) await this.#relay.waitForReaders(this.#ingest.written);
      else await this.#addUnwritten(start, chunk, onAvailable);
    } else if (!isFollowed) {
      this.#relay.clear();
      onAvailable();
    }
    if (isKept) return "kept";
  }

  /** Waits until all bytes are written. @throws {NoSpaceError} as `add` */
  async flush(): Promise<void> {
    await this.#finishWrites(0);
  }

  /** Drops the bytes in memory. Nothing may be being written. */
  clear(): void {
    this.#relay.clear();
  }

  /** Waits until nothing is being written. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#unfinished.map(({ written }) => written));
  }

  /** Reads 1 to `limit` bytes of those received; `undefined` if they were only in memory, and are dropped. */
  async read(file: FileReader, at: number, limit: number): Promise<Uint8Array | undefined> {
    const inMemory = await this.#relay.read(at, limit);
    if (inMemory !== undefined) return inMemory;
    const stored = this.#ingest.stored - at;
    return stored > 0 ? await file.read(at, Math.min(limit, stored)) : undefined;
  }

  /** Notifies it that a reader has read or left. */
  notify(): void {
    this.#relay.notify();
  }

  /** When the disk is full: waits until the readers have all bytes. Always throws, because the blob is not cached. */
  async finishRelay(): Promise<never> {
    await this.#relay.waitUntilRead(this.#ingest.written);
    throw this.#relay.noSpace();
  }

  /** Creates the error of a blob that is not cached. */
  noSpace(): NoSpaceError {
    return this.#relay.noSpace();
  }

  async #addUnwritten(start: number, chunk: Uint8Array, onAvailable: () => void): Promise<void> {
    this.#relay.add(start, chunk.slice());
    onAvailable();
    await this.#relay.waitForReaders(this.#ingest.written);
  }

  #write(bytes: Uint8Array): void {
    const written = this.#ingest.write(bytes);
    written.catch(() => {});
    this.#unfinished.push({ length: bytes.length, written });
  }

  /** Waits until at most `max` bytes are not written. Returns false if the disk became full. */
  async #finishWrites(max: number): Promise<boolean> {
    const sum = () => this.#unfinished.reduce((bytes, { length }) => bytes + length, 0);
    try {
      while (sum() > max) {
        await this.#unfinished[0]!.written;
        this.#unfinished.shift();
      }
      return true;
    } catch (error) {
      if (!(error instanceof NoSpaceError) || this.#followers.size === 0) throw error;
      this.#isDiskFull = true;
      return false;
    }
  }
}
