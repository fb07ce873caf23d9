import { EqualBytes } from "./equal_bytes.ts";
import type { PlainWindow } from "./model.ts";

const WINDOW = 32_768;
const MASK = WINDOW - 1;
const MIN_MATCH = 3;
const MAX_MATCH = 258;
/** So many bytes of the window are kept free for the longest match. */
const MAX_DISTANCE = WINDOW - (MIN_MATCH + MAX_MATCH + 1);
/** Before any position. */
const NONE = -1;
/** A distance that leads before any position in reach. */
const OUT_OF_REACH = 0xffff;
/** The bits of a hash of four bytes, and its factor (the golden ratio). */
const LONG_BITS = 15;
const LONG_FACTOR = 0x9e37_79b1;
/** Ranks are compared after so many pairs of positions. */
const PAIRS_PER_RANK = 8;

/** The limits of all searches of a level. */
export interface ZlibSearch {
  /** The bits of the hash of three bytes: 15 or 16. */
  readonly hashBits: number;
  /** The earlier positions of a chain that are compared. */
  readonly chain: number;
  /** Only a quarter of them are compared when a match of this length is known. */
  readonly good: number;
  /** A match of this length ends the search. */
  readonly nice: number;
  /** A match of three bytes must not be farther away. */
  readonly far: number;
}

/**
 * The hash chains of zlib, and its search for the longest match. A chain has the positions with the same hash of three
 * bytes, the last one first, and zlib compares the first so many of them. Most of them have no match of four bytes.
 * Therefore, matches of four bytes and more are searched in other chains, of positions with the same hash of four bytes.
 * The rank of a position in its chain of three bytes says whether zlib comes to it. The result is that of zlib.
 */
export class ZlibChains {
  /** Earlier positions that were compared, and bytes of them. */
  work = 0;
  /** The match that was found last; 2 and 0 if there was none. */
  length = 0;
  distance = 0;
  /** All positions before this one are in the chains, or are left out of them. */
  hashed = 0;
  readonly #window: PlainWindow;
  readonly #limits: ZlibSearch;
  readonly #equal: EqualBytes;
  readonly #shift: number;
  readonly #hashMask: number;
  /** The last position of each hash of three bytes. */
  readonly #heads: Int32Array;
  /** For each position of the last window, the distance to the one before it in its chain. */
  readonly #distances = new Uint16Array(WINDOW);
  /** For each position of the last window, the number of those before it in its chain, modulo 65,536. */
  readonly #ranks = new Uint16Array(WINDOW);
  /** The last position of each hash of four bytes. */
  readonly #longHeads = new Int32Array(1 << LONG_BITS).fill(NONE);
  /**
   * For each position of the last window, the distances to the two positions before it in its chain of four bytes, the
   * nearer one in the low bits. A walk waits for memory at each step, which is halved by this.
   */
  readonly #longSteps = new Int32Array(WINDOW);
  // The limits of one search. They are not arguments, because so many take longer than many a search.
  #tries = 0;
  #longest = 0;
  #limit = NONE;

  constructor(window: PlainWindow, limits: ZlibSearch) {
    const { hashBits } = this.#limits = limits;
    this.#window = window;
    this.#equal = new EqualBytes(window.bytes);
    this.#shift = Math.ceil(hashBits / MIN_MATCH);
    this.#hashMask = (1 << hashBits) - 1;
    this.#heads = new Int32Array(1 << hashBits).fill(NONE);
  }

  /** Forgets all positions. */
  reset(): void {
    if (this.hashed > 0) { for (const heads of [this.#heads, this.#longHeads]) heads.fill(NONE); }
    this.hashed = 0;
  }

  /** Decreases all positions by `count`. */
  slide(count: number): void {
    for (const heads of [this.#heads, this.#longHeads]) {
      for (let index = 0; index < heads.length; index++) heads[index] = Math.max(NONE, heads[index]! - count);
    }
    this.hashed = Math.max(0, this.hashed - count);
  }

  /** Searches the longest match at a position. It is longer than the known one, whose length is 2 if there is none. */
  search(at: number, known: number): void {
    this.length = MIN_MATCH - 1;
    this.distance = 0;
    const { length: end, origin } = this.#window;
    const longest = Math.min(MAX_MATCH, end - at);
    if (longest < MIN_MATCH || longest <= known) return;
    if (this.hashed < at) this.hashUpTo(at);
    // After a stored block that is shorter than predicted, positions are in the chains that are not before this one.
    const isAhead = this.hashed > at;
    const nearest = isAhead ? at - this.#distances[at & MASK]! : this.#heads[this.#hash(at)]!;
    // The first position of the stream marks the end of a chain. It is never matched.
    const first = origin === 0 ? 0 : NONE;
    if (nearest <= first || at - nearest > MAX_DISTANCE) return;
    const { chain, good, far } = this.#limits;
    this.#tries = known >= good ? chain >> 2 : chain;
    this.#longest = longest;
    // Only the first position of a chain may be as far away as this.
    this.#limit = Math.max(first, at - MAX_DISTANCE);
    if (isAhead) this.#walk(at, nearest, known);
    else {
      if (longest > MIN_MATCH) this.#walkLong(at, nearest, Math.max(known, MIN_MATCH));
      if (this.distance === 0 && known < MIN_MATCH) {
        // The nearest match of three bytes is left.
        this.#longest = MIN_MATCH;
        this.#limit = Math.max(this.#limit, at - far - 1);
        this.#walk(at, nearest, known);
      }
    }
    if (this.length > MIN_MATCH || this.distance <= far) return;
    this.length = MIN_MATCH - 1;
    this.distance = 0;
  }

  /** Adds the positions before `at` to the chains. There are at least two bytes from `at` on. */
  hashUpTo(at: number): void {
    const { bytes } = this.#window;
    const [heads, distances, ranks] = [this.#heads, this.#distances, this.#ranks];
    const [longHeads, longSteps] = [this.#longHeads, this.#longSteps];
    const [shift, mask] = [this.#shift, this.#hashMask];
    // Where tokens are known, positions are passed over. Those that are out of reach are not needed any more.
    let index = Math.max(this.hashed, at - WINDOW);
    let third = bytes[index + 2]!;
    let hash = bytes[index]! << shift ^ bytes[index + 1]!;
    let word = bytes[index]! << 8 | bytes[index + 1]! << 16 | third << 24;
    for (; index < at; index++) {
      const slot = index & MASK;
      hash = (hash << shift ^ third) & mask;
      const before = heads[hash]!;
      distances[slot] = Math.min(OUT_OF_REACH, index - before);
      ranks[slot] = ranks[before & MASK]! + 1;
      heads[hash] = index;
      third = bytes[index + 3]!;
      word = word >>> 8 | third << 24;
      const longHash = Math.imul(word, LONG_FACTOR) >>> (32 - LONG_BITS);
      const longBefore = longHeads[longHash]!;
      const step = Math.min(OUT_OF_REACH, index - longBefore);
      const secondStep = Math.min(OUT_OF_REACH, step + (longSteps[longBefore & MASK]! & 0xffff));
      longSteps[slot] = step | secondStep << 16;
      longHeads[longHash] = index;
    }
    this.hashed = Math.max(at, this.hashed);
  }

  #hash(at: number): number {
    const { bytes } = this.#window;
    const shift = this.#shift;
    return (bytes[at]! << (2 * shift) ^ bytes[at + 1]! << shift ^ bytes[at + 2]!) & this.#hashMask;
  }

  // Compares the positions of a chain of three bytes.
  #walk(at: number, nearest: number, known: number): void {
    const [distances, equal] = [this.#distances, this.#equal];
    const [longest, limit, tries] = [this.#longest, this.#limit, this.#tries];
    const { view } = equal;
    const nice = Math.min(this.#limits.nice, longest);
    let [candidate, best, left] = [nearest, known, tries];
    // The last byte that a longer match has, and the one before it.
    let ends = view.getUint16(at + best - 1, true);
    for (;;) {
      if (view.getUint16(candidate + best - 1, true) === ends) {
        const length = equal.count(candidate, at, longest);
        this.work += length;
        if (length > best) {
          best = this.length = length;
          this.distance = at - candidate;
          if (length >= nice) break;
          ends = view.getUint16(at + best - 1, true);
        }
      }
      candidate -= distances[candidate & MASK]!;
      if (candidate <= limit || --left === 0) break;
    }
    this.work += tries - left + 1;
  }

  // Compares the positions of a chain of four bytes, for a match of more than `known` bytes (at least three). Much time
  // goes to this loop.
  #walkLong(at: number, nearest: number, known: number): void {
    const { view } = this.#equal;
    const steps = this.#longSteps;
    const limit = Math.min(this.#limit, nearest - 1);
    let candidate = this.#longHeads[Math.imul(view.getInt32(at, true), LONG_FACTOR) >>> (32 - LONG_BITS)]!;
    if (candidate <= limit) return;
    let [best, left] = [known, PAIRS_PER_RANK];
    // The last four bytes that a longer match has.
    let ends = view.getInt32(at + best - 3, true);
    for (;;) {
      const step = steps[candidate & MASK]!;
      if (view.getInt32(candidate + best - 3, true) === ends) {
        if (this.#isLastCompared(at, { candidate, nearest, best })) break;
        best = Math.max(best, this.length);
        ends = view.getInt32(at + best - 3, true);
      }
      const second = candidate - (step & 0xffff);
      if (second <= limit) break;
      if (view.getInt32(second + best - 3, true) === ends) {
        if (this.#isLastCompared(at, { candidate: second, nearest, best })) break;
        best = Math.max(best, this.length);
        ends = view.getInt32(at + best - 3, true);
      }
      candidate -= step >>> 16;
      if (candidate <= limit) break;
      if (--left > 0) continue;
      // Other bytes may have the same hash, and their rank is one of another chain.
      if (this.#isBeyond(candidate, nearest) && view.getInt32(candidate, true) === view.getInt32(at, true)) break;
      this.work += 2 * PAIRS_PER_RANK;
      left = PAIRS_PER_RANK;
    }
    this.work += 2 * (PAIRS_PER_RANK - left + 1);
  }

  // Compares a position, and takes it if it has a longer match than the best one. Returns whether the search ends.
  #isLastCompared(
    at: number,
    { candidate, nearest, best }: { readonly candidate: number; readonly nearest: number; readonly best: number },
  ): boolean {
    const longest = this.#longest;
    const length = this.#equal.count(candidate, at, longest);
    this.work += length;
    if (length <= best) return false;
    if (this.#isBeyond(candidate, nearest)) return true;
    this.length = length;
    this.distance = at - candidate;
    return length >= this.#limits.nice || length === longest;
  }

  // Whether zlib does not come to a position of the same chain of three bytes, nor to those before it.
  #isBeyond(candidate: number, nearest: number): boolean {
    return (this.#ranks[nearest & MASK]! - this.#ranks[candidate & MASK]! & 0xffff) >= this.#tries;
  }
}
