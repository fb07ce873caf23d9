import type { ByteSource } from "../bytes/byte_reader.ts";
import { free } from "../bytes/lent_chunks.ts";
import type { ReadableBytes } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";
import { LiteralReader, NumberReader, RangeReader, wrongDelta } from "./operation_inputs.ts";

const CHUNK_BYTES = 256 << 10;
/** Fewer plain bytes than this for each operation, on average, make no delta: an operation has a cost of its own. */
const BYTES_PER_OPERATION = 16;
const FREE_OPERATIONS = 65_536;
/** Other work may run after so many operations, and after each chunk. */
const OPERATIONS_PER_TURN = 64;
/**
 * An insertion of at most so many bytes between two copies of the same distance replaces bytes. It is written as
 * differences: a program whose parts moved has the same difference in thousands of addresses.
 */
export const MAX_REPLACED_BYTES = 4096;

/**
 * The operations of a delta. Each inserts bytes, then copies old ones; the last may only insert. Numbers have 7 bits a
 * byte, the lowest first, with the highest bit set on all bytes but the last.
 */
export interface OperationStreams<Bytes> {
  /** For each operation how many bytes it inserts. */
  readonly inserts: Bytes;
  /** For each operation how many bytes it copies. */
  readonly copies: Bytes;
  /**
   * For each operation that copies, how far its old position is from the one that would follow, to which inserted bytes
   * count. A distance d is written as 2d, and as -2d-1 if it is negative.
   */
  readonly jumps: Bytes;
  /** The inserted bytes of all other operations. */
  readonly literals: Bytes;
  /**
   * The inserted bytes of operations with a jump of 0 and at most `MAX_REPLACED_BYTES` of them, each less the old byte
   * in its place, modulo 256.
   */
  readonly differences: Bytes;
}

/** The names of the streams, in the order of a delta. */
export const OPERATION_STREAMS = ["inserts", "copies", "jumps", "literals", "differences"] as const;

/** The inputs of `applyOperations`. */
interface OperationInput {
  readonly streams: OperationStreams<ByteSource>;
  /** The plain bytes of all bases, one after the other. */
  readonly bases: ReadableBytes;
  /** Number of bytes that the operations make. */
  readonly plainSize: number;
}

/**
 * Carries operations out. Each range is checked before it is read, and each operation makes at least one byte, so that the
 * work is bounded by `plainSize`. A piece is only valid until the next one is asked for.
 *
 * @throws {CorruptError} when the operations make more or fewer bytes, or copy bytes that the bases do not have
 */
export async function* applyOperations(
  { streams, bases, plainSize }: OperationInput,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const operations = new OperationReader(streams, { bases });
  const turns = new Turns();
  const maxOperations = FREE_OPERATIONS + Math.floor(plainSize / BYTES_PER_OPERATION);
  const chunk = new Uint8Array(Math.min(CHUNK_BYTES, plainSize));
  let [filled, made] = [0, 0];
  try {
    for (let count = 0; made < plainSize; count++) {
      if (count % OPERATIONS_PER_TURN === 0) await turns.next();
      if (count === maxOperations) throw wrongDelta("it has more operations than its size allows");
      // Most operations make a few bytes: a promise for each would take longer than all the rest.
      if (!operations.isReady) await operations.prepare();
      operations.next(plainSize - made);
      while (operations.left > 0) {
        const length = Math.min(operations.leftOfRange, chunk.length - filled);
        if (!operations.fill(chunk, filled, length)) await operations.fillLater(chunk, filled, length);
        filled += length;
        made += length;
        if (filled < chunk.length && made < plainSize) continue;
        yield chunk.subarray(0, filled);
        await turns.next();
        filled = 0;
      }
    }
    await operations.end();
  } finally {
    free(chunk);
    operations.free();
  }
}

/** Reads one operation after the other, and gives its bytes. */
class OperationReader {
  /** The bytes of the operation that were not given yet. */
  left = 0;
  readonly #inserts: NumberReader;
  readonly #copies: NumberReader;
  readonly #jumps: NumberReader;
  readonly #literals: LiteralReader;
  readonly #differences: LiteralReader;
  readonly #old: RangeReader;
  readonly #size: number;
  readonly #before = new Uint8Array(MAX_REPLACED_BYTES);
  #copy = 0;
  /** The old position of the next byte: of the copy, or in whose place bytes are inserted. */
  #position = 0;
  /** The old position that would follow. */
  #expected = 0;
  #isReplacing = false;

  constructor(streams: OperationStreams<ByteSource>, { bases }: Pick<OperationInput, "bases">) {
    this.#inserts = new NumberReader(streams.inserts);
    this.#copies = new NumberReader(streams.copies);
    this.#jumps = new NumberReader(streams.jumps);
    this.#literals = new LiteralReader(streams.literals);
    this.#differences = new LiteralReader(streams.differences);
    this.#old = new RangeReader(bases);
    this.#size = bases.size;
  }

  /** Whether the numbers of the next operation are at hand. */
  get isReady(): boolean {
    return this.#inserts.isReady && this.#copies.isReady && this.#jumps.isReady;
  }

  /** Receives the numbers of the next operation. */
  async prepare(): Promise<void> {
    for (const numbers of [this.#inserts, this.#copies, this.#jumps]) await numbers.prepare();
  }

  /** The bytes that come next in the same way: inserted or copied. */
  get leftOfRange(): number {
    return this.left > this.#copy ? this.left - this.#copy : this.left;
  }

  /** Starts the next operation. @param room the bytes that may still be made */
  next(room: number): void {
    const insert = this.#inserts.next();
    const copy = this.#copies.next();
    if (insert + copy === 0) throw wrongDelta("an operation makes nothing");
    if (insert + copy > room) throw wrongDelta("its operations make too many bytes");
    this.left = insert + copy;
    this.#copy = copy;
    this.#isReplacing = false;
    if (copy === 0) return;
    const jump = this.#jumps.next();
    const position = this.#expected + insert + (jump % 2 === 0 ? jump / 2 : -(jump + 1) / 2);
    if (position < 0 || position > this.#size - copy) throw wrongDelta("it copies bytes that its bases do not have");
    this.#expected = position + copy;
    this.#position = position - insert;
    this.#isReplacing = jump === 0 && insert <= MAX_REPLACED_BYTES;
  }

  /** Gives the next bytes, at most `leftOfRange`. @returns `false` when they have to be received first */
  fill(target: Uint8Array, at: number, length: number): boolean {
    if (this.left > this.#copy) {
      if (!this.#inserted.fill(target, at, length)) return false;
      this.#addBefore(target, at, length);
    } else {
      this.#old.fill(this.#position, target, { at, length });
    }
    this.#advance(length);
    return true;
  }

  /** As `fill`, for bytes that have to be received. */
  async fillLater(target: Uint8Array, at: number, length: number): Promise<void> {
    await this.#inserted.fillLater(target.subarray(at, at + length));
    this.#addBefore(target, at, length);
    this.#advance(length);
  }

  /** Gives up the memory of the old bytes. No more are read. */
  free(): void {
    this.#old.free();
  }

  async end(): Promise<void> {
    for (const reader of [this.#inserts, this.#copies, this.#jumps, this.#literals, this.#differences]) {
      if (await reader.hasMore()) throw wrongDelta("its operations make too few bytes");
    }
  }

  get #inserted(): LiteralReader {
    return this.#isReplacing ? this.#differences : this.#literals;
  }

  #advance(length: number): void {
    this.left -= length;
    this.#position += length;
  }

  #addBefore(target: Uint8Array, at: number, length: number): void {
    if (!this.#isReplacing) return;
    const before = this.#before;
    this.#old.fill(this.#position, before, { at: 0, length });
    for (let i = 0; i < length; i++) target[at + i]! += before[i]!;
  }
}
