import type { ChunkBudget, CountedChunk } from "../bytes/chunk_budget.ts";
import { LentMemory } from "../bytes/lent_chunks.ts";
import { withinTime } from "../bytes/within_time.ts";
import { cannot, NoSpaceError } from "../oci/error.ts";

/** A reader of a download. */
export interface Follower {
  /** Position of the next byte to read. */
  at: number;
  /** Whether the reader was dropped, because it stalled the other readers for too long. */
  isDropped: boolean;
}

/** Bytes in memory. */
interface Piece extends CountedChunk {
  readonly start: number;
  readonly end: number;
  readonly memory: LentMemory;
}

// Size of the memory for readers, in bytes.
const RELAY_BYTES = 8 * 1024 * 1024;
// Time for which a slow reader may stall the others, in milliseconds.
const READER_TIMEOUT_MILLISECONDS = 30_000;

/**
 * The bytes of a download that were received last. They are passed to the readers from memory, so that nothing is read
 * back from the disk for readers that keep up. When the disk is full, it is the only place of the bytes, and the
 * download proceeds at the pace of the slowest reader.
 */
export class Relay {
  readonly #followers: Set<Follower>;
  readonly #what: string;
  readonly #budget: ChunkBudget;
  #pieces: Piece[] = [];
  #bytes = 0;
  #read = Promise.withResolvers<void>();

  /** @param what the content, for errors */
  constructor(followers: Set<Follower>, what: string, budget: ChunkBudget) {
    this.#followers = followers;
    this.#what = what;
    this.#budget = budget;
  }

  /**
   * Adds bytes that are written to the disk as well, and drops the oldest ones that are, so that only the last remain
   * when memory is scarce. Nothing else may use their buffer afterwards.
   *
   * @param stored the number of bytes on the disk
   */
  addCopy(start: number, bytes: Uint8Array, stored: () => number): void {
    this.add(start, bytes);
    const max = this.#budget.isScarce ? bytes.buffer.byteLength : RELAY_BYTES;
    while (this.#bytes > max && this.#pieces[0]!.end <= stored()) this.#drop(this.#pieces.shift()!);
  }

  /**
   * Adds bytes that are nowhere else. The readers must be notified, and `waitForReaders` be called, before more is added.
   */
  add(start: number, bytes: Uint8Array): void {
    // A piece keeps all of its buffer in memory.
    const { length } = bytes;
    const memory = new LentMemory(bytes);
    const piece = { start, end: start + length, memory, length: bytes.buffer.byteLength, users: 0 };
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#budget.hold(piece);
  }

  #drop(piece: Piece): void {
    piece.memory.drop();
    this.#bytes -= piece.length;
    this.#budget.release(piece);
  }

  /** Returns up to `limit` bytes from a position on; `undefined` if they are not in memory. They must not be changed. */
  async read(at: number, limit: number): Promise<Uint8Array | undefined> {
    const piece = this.#pieces.findLast(({ start, end }) => start <= at && at < end);
    return await piece?.memory.lend(at - piece.start, limit);
  }

  /** Drops all bytes. */
  clear(): void {
    for (const piece of this.#pieces) this.#drop(piece);
    this.#pieces = [];
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
      this.#pieces = this.#pieces.filter((piece) => {
        const isNeeded = piece.end > slowest;
        if (!isNeeded) this.#drop(piece);
        return isNeeded;
      });
      if (slowest >= position) return;
      await this.#waitForReader(slowest);
    }
  }

  /** Creates the error of a blob that is not cached. */
  noSpace(): NoSpaceError {
    return new NoSpaceError(cannot(`cache ${this.#what}`, "no space left on the device"));
  }

  async #waitForReader(slowest: number): Promise<void> {
    const isRead = await withinTime(this.#read.promise.then(() => true), READER_TIMEOUT_MILLISECONDS);
    if (isRead) return;
    for (const follower of this.#followers) {
      if (follower.at > slowest) continue;
      follower.isDropped = true;
      this.#followers.delete(follower);
    }
  }
}
