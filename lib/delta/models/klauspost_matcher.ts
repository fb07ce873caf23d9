// The match finder of levels 5 and 6 of klauspost/compress, which Go 1.27 has adopted as its default (level 6).
//
// Two tables remember positions: the short one the last position for a hash of four bytes, the long one the last two
// positions for a hash of seven bytes. The search tries the long candidates before the short one; from a short match
// it also looks at the next position. It moves on faster the longer nothing was found. A match is then improved twice:
// a position that shares the bytes after its end may give a longer match, and every match grows backwards over the
// literals before it. Positions inside a match enter the tables sparsely.

import { hashLong, hashShort, KlauspostTables } from "./klauspost_tables.ts";
import type { Part } from "./part_predictor.ts";

/** A distance must be less, although deflate allows this one too. */
const DISTANCE_LIMIT = 32_768;
/** The first comparison of a match stops at this length; only one match at the end is then extended without limit. */
const LONGEST_TOKEN = 258;
/** The search ends so many bytes before the end of the data, so that it can always load eight. */
const INPUT_MARGIN = 11;
/** Data shorter than this is not searched. */
export const SHORTEST_SEARCH = 13;
/** Level 5 looks for a better match after the end of a match only when it is shorter than this. */
const WELL_MATCHED = 30;

/** The behaviour of a level and a version. */
export interface MatchStyle {
  readonly level: 1 | 5 | 6;
  /** So many bytes at the start of a match that is found by its end are not compared at first. */
  readonly endSkip: 0 | 2;
}

/** Finds the matches of consecutive parts of a stream. */
export class KlauspostMatcher {
  /** Candidates that were compared so far. */
  work = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #isLevel6: boolean;
  readonly #skipBits: number;
  // A better match is looked for at the end of a match that is shorter than this.
  readonly #wellMatched: number;
  readonly #endSkip: number;
  readonly #tables: KlauspostTables;
  // The first index that a match may start from.
  #base = 0;
  #end = 0;
  // The distance of the last match (level 6).
  #lastDistance = 1;
  // What #search found: a match of #length bytes at #at with those at #from. A length of 0 is at least 4.
  #at = 0;
  #from = 0;
  #length = 0;
  // Where the search would go on, had it found nothing.
  #next = 0;

  constructor(bytes: Uint8Array, { level, endSkip }: MatchStyle) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#tables = new KlauspostTables(this.#view);
    this.#isLevel6 = level === 6;
    this.#wellMatched = level === 6 ? Infinity : WELL_MATCHED;
    this.#endSkip = endSkip;
    this.#skipBits = level === 6 ? 7 : 6;
  }

  /** A new stream starts. */
  reset(): void {
    this.#tables.clear();
    this.#base = 0;
  }

  /** Matches may not start before `base` any more, a little before the end of what was encoded. */
  restart(base: number): void {
    this.#tables.forget();
    this.#base = base;
  }

  /** All indices decrease by `count`. */
  slide(count: number): void {
    this.#tables.slide(count);
    this.#base -= count;
  }

  /** Finds the tokens of the bytes. Without any match, the list stays empty. */
  encode({ start, end }: { start: number; end: number }, list: Part): void {
    list.count = 0;
    if (end - start < SHORTEST_SEARCH) return;
    this.#end = end;
    this.#lastDistance = 1;
    const limit = end - INPUT_MARGIN;
    let [at, literalsFrom] = [start, start];
    while (at < limit && this.#search(at, { literalsFrom, limit })) {
      this.#extend(limit);
      this.#extendBackwards(literalsFrom);
      list.putLiterals(literalsFrom, this.#at);
      putMatch(this.#length, this.#at - this.#from, list);
      this.#lastDistance = this.#at - this.#from;
      literalsFrom = this.#at + this.#length;
      at = this.#next >= literalsFrom ? this.#next + 1 : literalsFrom;
      if (this.#isLevel6) this.#rememberEverySecond(at, limit);
      else if (at < limit) this.#rememberEveryThird(at - this.#length + 1, at - 1);
    }
    if (list.count > 0) list.putLiterals(literalsFrom, end);
  }

  /** Searches for a match at `at` and after it. @returns `false` when there is none up to `limit` */
  #search(at: number, { literalsFrom, limit }: { literalsFrom: number; limit: number }): boolean {
    const [view, skipBits] = [this.#view, this.#skipBits];
    const { short, long, longBefore, shift } = this.#tables;
    let next = at;
    let value = view.getInt32(at, true);
    let shortHash = hashShort(value);
    let longHash = hashLong(value, view.getInt32(at + 3, true));
    for (;;) {
      at = next;
      next = at + 1 + ((at - literalsFrom) >> skipBits);
      if (next > limit) return false;
      const shortFrom = short[shortHash]! - shift;
      const longEntry = long[longHash]!;
      const longFrom = longEntry - shift;
      const longBeforeFrom = longBefore[longHash]! - shift;
      short[shortHash] = long[longHash] = at + shift;
      longBefore[longHash] = longEntry;
      const nextValue = view.getInt32(next, true);
      shortHash = hashShort(nextValue);
      longHash = hashLong(nextValue, view.getInt32(next + 3, true));
      if (at - longFrom < DISTANCE_LIMIT) {
        if (view.getInt32(longFrom, true) === value) {
          this.#found(at, longFrom, next);
          this.#tables.remember(next, shortHash, longHash);
          if (at - longBeforeFrom < DISTANCE_LIMIT && view.getInt32(longBeforeFrom, true) === value) {
            this.#length = this.#matchFour(at, longFrom);
            this.#takeLonger(at, longBeforeFrom, this.#matchFour(at, longBeforeFrom));
          }
          return true;
        }
        if (at - longBeforeFrom < DISTANCE_LIMIT && view.getInt32(longBeforeFrom, true) === value) {
          this.#found(at, longBeforeFrom, next);
          this.#tables.remember(next, shortHash, longHash);
          return true;
        }
      }
      if (at - shortFrom < DISTANCE_LIMIT && view.getInt32(shortFrom, true) === value) {
        this.#found(at, shortFrom, next);
        this.#length = this.#matchFour(at, shortFrom);
        const nextFrom = long[longHash]! - shift;
        const nextBeforeFrom = longBefore[longHash]! - shift;
        this.#tables.remember(next, shortHash, longHash);
        this.#tryNext(nextValue, nextFrom, nextBeforeFrom);
        return true;
      }
      value = nextValue;
    }
  }

  #found(at: number, from: number, next: number): void {
    this.#at = at;
    this.#from = from;
    this.#next = next;
    this.#length = 0;
    this.work++;
  }

  #takeLonger(at: number, from: number, length: number): boolean {
    this.work++;
    if (length <= this.#length) return false;
    this.#at = at;
    this.#from = from;
    this.#length = length;
    return true;
  }

  // After a short match: one at the next position may be longer. Level 6 first tries the last distance again, one byte
  // later, and compares both long candidates even when the first one is better.
  #tryNext(nextValue: number, nextFrom: number, nextBeforeFrom: number): void {
    const [view, next] = [this.#view, this.#next];
    if (this.#isLevel6) {
      const [at, from] = [this.#at + 1, this.#at + 1 - this.#lastDistance];
      if (view.getInt32(from, true) === view.getInt32(at, true)) {
        const length = this.#matchFour(at, from);
        if (this.#takeLonger(at, from, length)) return;
      }
    }
    if (next - nextFrom >= DISTANCE_LIMIT) return;
    if (view.getInt32(nextFrom, true) === nextValue) {
      const isLonger = this.#takeLonger(next, nextFrom, this.#matchFour(next, nextFrom));
      if (isLonger && !this.#isLevel6) return;
    }
    if (next - nextBeforeFrom < DISTANCE_LIMIT && view.getInt32(nextBeforeFrom, true) === nextValue) {
      this.#takeLonger(next, nextBeforeFrom, this.#matchFour(next, nextBeforeFrom));
    }
  }

  /** Measures a match that was not measured, or only up to the longest token, and looks for a better one at its end. */
  #extend(limit: number): void {
    if (this.#length === 0) {
      this.#length = 4 + this.#match(this.#at + 4, this.#from + 4, this.#end);
    } else if (this.#length === LONGEST_TOKEN) {
      this.#length += this.#match(this.#at + LONGEST_TOKEN, this.#from + LONGEST_TOKEN, this.#end);
    }
    const length = this.#length;
    const matchEnd = this.#at + length;
    if (matchEnd >= limit || length >= this.#wellMatched) return;
    const hash = this.#tables.hashLong(matchEnd);
    const second = this.#at + this.#endSkip;
    const isInReach = this.#tryEnd(second, this.#tables.long[hash]!);
    if (this.#isLevel6 && isInReach) this.#tryEnd(second, this.#tables.longBefore[hash]!);
  }

  // A position with the bytes after the match gives the start of another one. Its first two bytes may differ: growing
  // backwards takes them in if they do not.
  #tryEnd(second: number, entry: number): boolean {
    const from = entry - this.#tables.shift - this.#length + this.#endSkip;
    if (second - from >= DISTANCE_LIMIT) return false;
    if (from >= second || from < this.#base) return true;
    this.#takeLonger(second, from, this.#match(second, from, this.#end));
    return true;
  }

  #extendBackwards(literalsFrom: number): void {
    const [bytes, base] = [this.#bytes, this.#base];
    let [at, from] = [this.#at, this.#from];
    while (from > base && at > literalsFrom && bytes[from - 1] === bytes[at - 1]) {
      at--;
      from--;
    }
    this.#length += this.#at - at;
    this.#at = at;
    this.#from = from;
  }

  // Level 5: of three positions in a match, one enters both tables or a table each. `end` is excluded; it enters too.
  #rememberEveryThird(at: number, end: number): void {
    if (at < end) {
      this.#tables.rememberLong(at);
      this.#tables.rememberShort(at);
      this.#tables.rememberLong(at + 1);
      this.#tables.rememberShort(at + 2);
      this.#tables.rememberPairs(at + 4, end);
    }
    this.#tables.rememberLong(end);
    this.#tables.rememberShort(end);
  }

  // Level 6: after the position that the search has put into the tables, all enter the long one, every second the
  // short one. After the last match every second enters both, up to the end of the data.
  #rememberEverySecond(at: number, limit: number): void {
    const isLast = at >= limit;
    const end = isLast ? this.#end - 8 : at - 1;
    for (let i = this.#next + 1; i < end; i += 2) {
      this.#tables.rememberShort(i);
      this.#tables.rememberLong(i);
      if (!isLast) this.#tables.rememberLong(i + 1);
    }
  }

  /** Measures a match whose first four bytes are known to agree, up to the longest token. */
  #matchFour(at: number, from: number): number {
    return 4 + this.#match(at + 4, from + 4, Math.min(this.#end, at + LONGEST_TOKEN));
  }

  #match(at: number, from: number, end: number): number {
    const [bytes, view, start] = [this.#bytes, this.#view, at];
    while (at + 4 <= end && view.getInt32(at, true) === view.getInt32(from, true)) {
      at += 4;
      from += 4;
    }
    while (at < end && bytes[at] === bytes[from]) {
      at++;
      from++;
    }
    return at - start;
  }
}

/** A long match becomes several tokens. The last one needs three bytes, so that the one before it may be shorter. */
export function putMatch(length: number, distance: number, list: Part): void {
  for (let rest = length; rest > 0;) {
    const bytes = rest <= LONGEST_TOKEN ? rest : rest > LONGEST_TOKEN + 3 ? LONGEST_TOKEN : LONGEST_TOKEN - 3;
    list.tokens[list.count++] = bytes << 16 | distance;
    rest -= bytes;
  }
}
