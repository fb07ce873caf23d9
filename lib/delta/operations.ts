import type { ByteSource } from "../bytes/byte_reader.ts";
import type { Scratch } from "../bytes/scratch.ts";
import { Turns } from "../bytes/turns.ts";
import { CorruptError } from "../oci/error.ts";

const CHUNK_BYTES = 256 << 10;
/** Larger than any varint of a number below 2^53. */
const MAX_VARINT_BYTES = 8;
const CACHE_BYTES = 256 << 10;
/** Fewer plain bytes than this for each operation, on average, make no delta: an operation has a cost of its own. */
const BYTES_PER_OPERATION = 16;
const FREE_OPERATIONS = 65_536;
/** What is read at once, at least. */
const LEAST_BYTES = 4096;
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
export interface OperationInput {
  readonly streams: OperationStreams<ByteSource>;
  /** The plain bytes of all bases, one after the other. */
  readonly bases: Pick<Scratch, "size" | "readAt">;
  /** Number of bytes that the operations make. */
  readonly plainSize: number;
}

/**
 * Carries operations out. Each range is checked before it is read, and each operation makes at least one byte, so that the
 * work is bounded by `plainSize`.
 *
 * @throws {CorruptError} when the operations make more or fewer bytes, or copy bytes that the bases do not have
 */
export async function* applyOperations(
  { streams, bases, plainSize }: OperationInput,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const operations = new OperationReader(streams, { bases, plainSize });
  let chunk = new Uint8Array(Math.min(CHUNK_BYTES, plainSize));
  let [filled, made] = [0, 0];
  const turns = new Turns();
  let operationsLeft = FREE_OPERATIONS + Math.floor(plainSize / BYTES_PER_OPERATION);
  while (made < plainSize) {
    await turns.next();
    if (operationsLeft-- === 0) throw wrong("it has more operations than its size allows");
    const operation = await operations.next(plainSize - made);
    for (let left = operation.insert + operation.copy; left > 0;) {
      const isInsert = left > operation.copy;
      const length = Math.min(isInsert ? left - operation.copy : left, chunk.length - filled);
      const target = chunk.subarray(filled, filled + length);
      const position = operation.position + operation.copy - left;
      if (isInsert) await operations.insert(operation, position, target);
      else operations.copy(position, target);
      left -= length;
      filled += length;
      made += length;
      if (filled < chunk.length) continue;
      yield chunk;
      chunk = new Uint8Array(Math.min(CHUNK_BYTES, plainSize - made));
      filled = 0;
    }
  }
  await operations.end();
}

interface Operation {
  readonly insert: number;
  readonly copy: number;
  /** The old position of the copy. */
  readonly position: number;
  /** Whether the inserted bytes are differences. */
  readonly isReplacing: boolean;
}

class OperationReader {
  readonly #inserts: NumberReader;
  readonly #copies: NumberReader;
  readonly #jumps: NumberReader;
  readonly #literals: LiteralReader;
  readonly #differences: LiteralReader;
  readonly #old: RangeReader;
  readonly #size: number;
  #expected = 0;
  #before = new Uint8Array(MAX_REPLACED_BYTES);

  constructor(streams: OperationStreams<ByteSource>, { bases }: Omit<OperationInput, "streams">) {
    this.#inserts = new NumberReader(streams.inserts);
    this.#copies = new NumberReader(streams.copies);
    this.#jumps = new NumberReader(streams.jumps);
    this.#literals = new LiteralReader(streams.literals);
    this.#differences = new LiteralReader(streams.differences);
    this.#old = new RangeReader(bases);
    this.#size = bases.size;
  }

  /** @param room the bytes that may still be made */
  async next(room: number): Promise<Operation> {
    const insert = await this.#inserts.next();
    const copy = await this.#copies.next();
    if (insert + copy === 0) throw wrong("an operation makes nothing");
    if (insert + copy > room) throw wrong("its operations make too many bytes");
    if (copy === 0) return { insert, copy, position: 0, isReplacing: false };
    const jump = await this.#jumps.next();
    const position = this.#expected + insert + (jump % 2 === 0 ? jump / 2 : -(jump + 1) / 2);
    if (position < 0 || position > this.#size - copy) throw wrong("it copies bytes that its bases do not have");
    this.#expected = position + copy;
    return { insert, copy, position, isReplacing: jump === 0 && insert <= MAX_REPLACED_BYTES };
  }

  /** @param position the old position in whose place the bytes are inserted */
  async insert({ isReplacing }: Operation, position: number, target: Uint8Array): Promise<void> {
    if (!isReplacing) return await this.#literals.fill(target);
    await this.#differences.fill(target);
    const before = this.#before.subarray(0, target.length);
    this.#old.fill(position, before);
    for (let i = 0; i < target.length; i++) target[i]! += before[i]!;
  }

  copy(position: number, target: Uint8Array): void {
    this.#old.fill(position, target);
  }

  async end(): Promise<void> {
    for (const reader of [this.#inserts, this.#copies, this.#jumps, this.#literals, this.#differences]) {
      if (await reader.hasMore()) throw wrong("its operations make too few bytes");
    }
  }
}

class NumberReader {
  readonly #source: ByteSource;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async next(): Promise<number> {
    let [value, factor] = [0, 1];
    for (let count = 0; count < MAX_VARINT_BYTES; count++) {
      if (this.#at === this.#piece.length && !await this.hasMore()) throw wrong("its operations end too early");
      const byte = this.#piece[this.#at++]!;
      value += (byte & 127) * factor;
      if (byte < 128) {
        if (Number.isSafeInteger(value)) return value;
        break;
      }
      factor *= 128;
    }
    throw wrong("an operation has too large a number");
  }

  async hasMore(): Promise<boolean> {
    if (this.#at < this.#piece.length) return true;
    const piece = await this.#source.read();
    if (piece === undefined) return false;
    this.#piece = piece;
    this.#at = 0;
    return true;
  }
}

class LiteralReader {
  readonly #source: ByteSource;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: ByteSource) {
    this.#source = source;
  }

  async fill(target: Uint8Array): Promise<void> {
    for (let at = 0; at < target.length;) {
      if (!await this.hasMore()) throw wrong("it has fewer bytes to insert than its operations");
      const part = this.#rest.subarray(0, target.length - at);
      target.set(part, at);
      at += part.length;
      this.#rest = this.#rest.subarray(part.length);
    }
  }

  async hasMore(): Promise<boolean> {
    if (this.#rest.length > 0) return true;
    const piece = await this.#source.read();
    if (piece !== undefined) this.#rest = piece;
    return piece !== undefined;
  }
}

/**
 * Reads short ranges from a buffer, because most follow each other closely. What a range costs is bounded by its length: the
 * buffer is filled with a few times as many bytes as were used of it before.
 */
class RangeReader {
  readonly #source: Pick<Scratch, "size" | "readAt">;
  readonly #buffer = new Uint8Array(CACHE_BYTES);
  #start = 0;
  #length = 0;
  #used = 0;

  constructor(source: Pick<Scratch, "size" | "readAt">) {
    this.#source = source;
  }

  fill(position: number, target: Uint8Array): void {
    if (target.length >= CACHE_BYTES / 4) return this.#read(position, target);
    if (position < this.#start || position + target.length > this.#start + this.#length) {
      const room = Math.min(CACHE_BYTES, Math.max(LEAST_BYTES, 4 * (this.#used + target.length)));
      this.#start = Math.max(0, position - (room >> 3));
      this.#length = this.#source.readAt(this.#start, this.#buffer.subarray(0, room));
      this.#used = 0;
      if (position + target.length > this.#start + this.#length) throw wrong("a base is shorter than it says");
    }
    this.#used += target.length;
    const at = position - this.#start;
    target.set(this.#buffer.subarray(at, at + target.length));
  }

  #read(position: number, target: Uint8Array): void {
    if (this.#source.readAt(position, target) < target.length) throw wrong("a base is shorter than it says");
  }
}

function wrong(reason: string): CorruptError {
  return new CorruptError(`Cannot apply the delta: ${reason}`);
}
