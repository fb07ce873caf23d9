// The match finder of level 1 of klauspost/compress, which Go 1.27 has adopted.
//
// A table remembers the last position for a hash of five bytes, and its match is taken when four bytes agree. Between
// two looked-up neighbours the search skips bytes, the more the longer nothing was found. A match grows backwards over
// the literals before it. At its end the next one is tried at once.

import { putMatch, SHORTEST_SEARCH } from "./klauspost_matcher.ts";
import type { Part } from "./part_predictor.ts";
import { OUT_OF_REACH, renumber } from "./renumber.ts";

const TABLE_SIZE = 1 << 15;
const HASH_SHIFT = 17;
/** Multiplies five bytes: 889,523,592,379, in parts of 32 and 16 bits. */
const FACTOR_HIGH = 207;
const FACTOR_LOW = 465_362_107;
const FACTOR_LOW_0 = FACTOR_LOW & 0xffff;
const FACTOR_LOW_1 = FACTOR_LOW >>> 16;
/** A searched distance is less; only the next match after a match may have it. */
const LONGEST_DISTANCE = 32_768;
/** The search ends so many bytes before the end of the data. */
const INPUT_MARGIN = 11;
/** Of the bytes since the last match, this fraction is skipped, as a shift. */
const SKIP_BITS = 5;

export class Klauspost1Matcher {
  /** Candidates that were compared so far. */
  work = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  // Holds index + shift, and stays as it is on a slide.
  readonly #table = new Int32Array(TABLE_SIZE);
  #shift = OUT_OF_REACH;
  // The first index that a match may start from.
  #base = 0;
  // What #search found, and where it would continue.
  #at = 0;
  #from = 0;
  #next = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A new stream starts. */
  reset(): void {
    this.#table.fill(0);
    this.#shift = OUT_OF_REACH;
    this.#base = 0;
  }

  /** Matches may not start before `base` any more, a little before the end of what was encoded. */
  restart(base: number): void {
    this.#base = base;
    this.#move(2 * OUT_OF_REACH);
  }

  /** All indices decrease by `count`. */
  slide(count: number): void {
    this.#base -= count;
    this.#move(count);
  }

  /** Finds the tokens of the bytes. Without any match, the list stays empty. */
  encode({ start, end }: { start: number; end: number }, list: Part): void {
    list.count = 0;
    if (end - start < SHORTEST_SEARCH) return;
    const limit = end - INPUT_MARGIN;
    let [at, literalsFrom] = [start, start];
    while (at < limit && this.#search(at, { literalsFrom, limit })) {
      at = this.#at;
      let from = this.#from;
      // Matches that follow each other.
      do {
        literalsFrom = this.#putMatch({ at, from, literalsFrom, end }, list);
        at = this.#next >= literalsFrom ? this.#next + 1 : literalsFrom;
        if (at >= limit) break;
        this.#swap(at - 2);
        from = this.#swap(at);
      } while (at - from <= LONGEST_DISTANCE && this.#isMatch(at, from));
      at++;
    }
    if (list.count > 0) list.putLiterals(literalsFrom, end);
  }

  #search(at: number, { literalsFrom, limit }: { literalsFrom: number; limit: number }): boolean {
    for (;;) {
      const next = at + 2 + ((at - literalsFrom) >> SKIP_BITS);
      if (next > limit) return false;
      if (this.#try(at, this.#swap(at), next)) {
        this.#swap(next);
        return true;
      }
      const from = this.#swap(next);
      at = next + 1;
      if (this.#try(next, from, at)) {
        // The position after it enters the table, but with the hash of this one.
        this.#table[this.#hash(next)] = at + this.#shift;
        return true;
      }
    }
  }

  #try(at: number, from: number, next: number): boolean {
    if (at - from >= LONGEST_DISTANCE || !this.#isMatch(at, from)) return false;
    this.#at = at;
    this.#from = from;
    this.#next = next;
    return true;
  }

  #isMatch(at: number, from: number): boolean {
    this.work++;
    return this.#view.getInt32(from, true) === this.#view.getInt32(at, true);
  }

  // Puts the literals before a match, and the match. @returns its end
  #putMatch(
    { at, from, literalsFrom, end }: { at: number; from: number; literalsFrom: number; end: number },
    list: Part,
  ): number {
    const bytes = this.#bytes;
    const distance = at - from;
    let matchEnd = at + 4;
    while (matchEnd < end && bytes[matchEnd] === bytes[matchEnd - distance]) matchEnd++;
    while (at - distance > this.#base && at > literalsFrom && bytes[at - 1] === bytes[at - 1 - distance]) at--;
    list.putLiterals(literalsFrom, at);
    putMatch(matchEnd - at, distance, list);
    return matchEnd;
  }

  // Remembers a position. @returns the last one with its hash
  #swap(at: number): number {
    const hash = this.#hash(at);
    const from = this.#table[hash]! - this.#shift;
    this.#table[hash] = at + this.#shift;
    return from;
  }

  // The highest bits of five bytes, moved up by three bytes, times the factor, modulo 2 to the power of 64.
  #hash(at: number): number {
    const low = this.#view.getUint8(at);
    const carried = Math.imul(low << 8, FACTOR_LOW_1) + (Math.imul(low << 8, FACTOR_LOW_0) >>> 16);
    const high = Math.imul(low << 24, FACTOR_HIGH) + Math.imul(this.#view.getInt32(at + 1, true), FACTOR_LOW);
    return (carried + high) >>> HASH_SHIFT;
  }

  #move(count: number): void {
    this.#shift = renumber([this.#table], this.#shift + count);
  }
}
