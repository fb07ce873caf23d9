import { OUT_OF_REACH, renumber } from "./renumber.ts";

/** The entries of a table. */
const TABLE_SIZE = 1 << 15;
const HASH_SHIFT = 17;
/** Multiplies four bytes. */
const SHORT_FACTOR = 2_654_435_761 | 0;
/** Multiplies seven bytes. */
const LONG_FACTOR = 58_295_818_150_454_627n;
const FACTOR_LOW = Number(LONG_FACTOR & 0xffff_ffffn) | 0;
const FACTOR_HIGH = Number(LONG_FACTOR >> 32n) | 0;
const FACTOR_LOW_0 = FACTOR_LOW & 0xffff;
const FACTOR_LOW_1 = FACTOR_LOW >>> 16;

/** Remembers positions by their next four and their next seven bytes. */
export class KlauspostTables {
  /** The last position for a hash of four bytes. All tables hold index + `shift`, and stay as they are on a slide. */
  readonly short = new Int32Array(TABLE_SIZE);
  /** The last position for a hash of seven bytes. */
  readonly long = new Int32Array(TABLE_SIZE);
  /** The position before that. */
  readonly longBefore = new Int32Array(TABLE_SIZE);
  shift = OUT_OF_REACH;
  readonly #view: DataView;

  constructor(view: DataView) {
    this.#view = view;
  }

  /** Forgets all positions, for a stream whose indices start anew. */
  clear(): void {
    for (const table of [this.short, this.long, this.longBefore]) table.fill(0);
    this.shift = OUT_OF_REACH;
  }

  /** Forgets all positions, when those that follow are at most `OUT_OF_REACH` less. */
  forget(): void {
    this.slide(2 * OUT_OF_REACH);
  }

  /** All indices decrease by `count`. */
  slide(count: number): void {
    this.shift = renumber([this.short, this.long, this.longBefore], this.shift + count);
  }

  rememberShort(at: number): void {
    this.short[hashShort(this.#view.getInt32(at, true))] = at + this.shift;
  }

  rememberLong(at: number): void {
    this.#putLong(at, this.hashLong(at));
  }

  /** Remembers every third position by its seven bytes, and the next one by its four, up to an excluded `end`. */
  rememberPairs(start: number, end: number): void {
    // A loop that much time goes to: local variables instead of fields.
    const { short, long, longBefore, shift } = this;
    const view = this.#view;
    for (let at = start; at < end; at += 3) {
      const hash = hashLong(view.getInt32(at, true), view.getInt32(at + 3, true));
      longBefore[hash] = long[hash]!;
      long[hash] = at + shift;
      short[hashShort(view.getInt32(at + 1, true))] = at + 1 + shift;
    }
  }

  /** Remembers a position whose hashes are known. */
  remember(at: number, shortHash: number, longHash: number): void {
    this.short[shortHash] = at + this.shift;
    this.#putLong(at, longHash);
  }

  /** The hash of the seven bytes at a position. */
  hashLong(at: number): number {
    return hashLong(this.#view.getInt32(at, true), this.#view.getInt32(at + 3, true));
  }

  #putLong(at: number, hash: number): void {
    this.longBefore[hash] = this.long[hash]!;
    this.long[hash] = at + this.shift;
  }
}

/** The hash of four bytes. */
export function hashShort(fourBytes: number): number {
  return Math.imul(fourBytes, SHORT_FACTOR) >>> HASH_SHIFT;
}

/**
 * The highest bits of the lowest seven bytes, moved up by one byte, times the factor, modulo 2 to the power of 64. The
 * arguments are the bytes 0 to 3 and 3 to 6.
 */
export function hashLong(first: number, last: number): number {
  const low = first << 8;
  const [low0, low1] = [low & 0xffff, low >>> 16];
  const middle = Math.imul(low1, FACTOR_LOW_0) + (Math.imul(low0, FACTOR_LOW_0) >>> 16) | 0;
  const middle2 = Math.imul(low0, FACTOR_LOW_1) + (middle & 0xffff) | 0;
  const carried = Math.imul(low1, FACTOR_LOW_1) + (middle >>> 16) + (middle2 >>> 16);
  return (carried + Math.imul(low, FACTOR_HIGH) + Math.imul(last, FACTOR_LOW)) >>> HASH_SHIFT;
}
