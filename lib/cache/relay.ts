import { NoSpaceError } from "../oci/error.ts";

/** A reader of a download. */
export interface Follower {
  /** Position of the next byte to read. */
  at: number;
  /** Whether the reader was dropped, because it stalled the other readers for too long. */
  isDropped: boolean;
}

/** Bytes that are relayed from memory. */
interface Relayed {
  readonly start: number;
  readonly bytes: Uint8Array;
}

// Size of the in-memory buffer for readers when the disk is full, in bytes.
const RELAY_BYTES = 8 * 1024 * 1024;
// Time for which a slow reader may stall the others, in milliseconds.
const READER_TIMEOUT_MILLISECONDS = 30_000;

/**
 * The rest of a download that does not fit on the disk: it is passed to the readers from memory, at the pace of the
 * slowest one.
 */
export class Relay {
  readonly #followers: Set<Follower>;
  readonly #what: string;
  #pieces: Relayed[] = [];
  #read = Promise.withResolvers<void>();

  /** @param what the content, for errors */
  constructor(followers: Set<Follower>, what: string) {
    this.#followers = followers;
    this.#what = what;
  }

  /** Adds bytes at a position. The readers must be notified, and `waitForReaders` be called, before more is added. */
  add(start: number, bytes: Uint8Array): void {
    this.#pieces.push({ start, bytes });
  }

  /** Returns up to `limit` bytes from a position on; `undefined` if they are not in memory. */
  read(at: number, limit: number): Uint8Array | undefined {
    const piece = this.#pieces.find(({ start, bytes }) => start <= at && at < start + bytes.length);
    return piece?.bytes.slice(at - piece.start, at - piece.start + limit);
  }

  /** Notifies the relay that a reader has read or left. */
  notify(): void {
    this.#read.resolve();
    this.#read = Promise.withResolvers();
  }

  /** Waits until the readers have read enough of the bytes up to `end` for more of them to be kept in memory. */
  async waitForReaders(end: number): Promise<void> {
    if (this.#followers.size === 0) throw this.noSpace();
    await this.waitUntilRead(end - RELAY_BYTES);
  }

  /** Waits until all readers have read up to a position. Readers that do not read for 30 s are dropped. */
  async waitUntilRead(position: number): Promise<void> {
    for (;;) {
      const slowest = Math.min(...[...this.#followers].map(({ at }) => at));
      this.#pieces = this.#pieces.filter(({ start, bytes }) => start + bytes.length > slowest);
      if (slowest >= position) return;
      await this.#waitForReader(slowest);
    }
  }

  /** Creates the error of a blob that is not cached. */
  noSpace(): NoSpaceError {
    return new NoSpaceError(`Cannot cache ${this.#what}: no space left on the device`);
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
      await Promise.race([this.#read.promise, timeout.promise]);
    } finally {
      clearTimeout(timer);
    }
  }
}
