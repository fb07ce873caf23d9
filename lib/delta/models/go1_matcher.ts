import type { Part } from "./part_predictor.ts";
import { OUT_OF_REACH, renumber } from "./renumber.ts";

const TABLE_SIZE = 1 << 14;
const HASH_SHIFT = 18;
const HASH_FACTOR = 0x1e35a7bd;
const LONGEST_DISTANCE = 32_768;
const LONGEST_MATCH = 258;
/** The search ends so many bytes before the end of the data. */
const INPUT_MARGIN = 15;
/** The first bytes without a match are looked up one by one. After each so many looked-up bytes the steps grow. */
const STEP_BITS = 5;

/**
 * The match finder of Go's `BestSpeed`, which comes from Snappy: a table has the last position for a hash of four
 * bytes, and its match is taken as it is. At the end of a match the next one is tried at once.
 */
export class Go1Matcher {
  /** Candidates that were compared so far. */
  work = 0;
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  // Holds index + shift, and stays as it is on a slide.
  readonly #table = new Int32Array(TABLE_SIZE);
  #shift = OUT_OF_REACH;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** A new stream starts. */
  reset(): void {
    this.#table.fill(0);
    this.#shift = OUT_OF_REACH;
  }

  /** All indices decrease by `count`. */
  slide(count: number): void {
    this.#shift = renumber([this.#table], this.#shift + count);
  }

  /** Finds the tokens of at least 17 bytes. */
  encode({ start, end }: { start: number; end: number }, list: Part): void {
    const view = this.#view;
    const limit = end - INPUT_MARGIN;
    list.count = 0;
    let [at, literalsFrom] = [start, start];
    for (;;) {
      let from = this.#search(at, limit);
      if (from === undefined) break;
      at = this.#found;
      list.putLiterals(literalsFrom, at);
      // Matches that follow each other without a literal.
      do {
        const length = this.#match(at, from, Math.min(end, at + LONGEST_MATCH));
        list.tokens[list.count++] = length << 16 | (at - from);
        at += length;
        literalsFrom = at;
        if (at >= limit) break;
        this.#swap(at - 1);
        from = this.#swap(at);
      } while (this.#isMatch(at, from, view.getInt32(at, true)));
      if (at >= limit) break;
      at++;
    }
    list.putLiterals(literalsFrom, end);
  }

  // Where #search found a match.
  #found = 0;

  /** @returns where the match at `#found` comes from */
  #search(at: number, limit: number): number | undefined {
    const view = this.#view;
    let skipped = 1 << STEP_BITS;
    for (let next = at;;) {
      at = next;
      const step = skipped >> STEP_BITS;
      next = at + step;
      skipped += step;
      if (next > limit) return undefined;
      const from = this.#swap(at);
      if (this.#isMatch(at, from, view.getInt32(at, true))) {
        this.#found = at;
        return from;
      }
    }
  }

  // Remembers a position. @returns the last one with its hash
  #swap(at: number): number {
    const hash = Math.imul(this.#view.getInt32(at, true), HASH_FACTOR) >>> HASH_SHIFT;
    const from = this.#table[hash]! - this.#shift;
    this.#table[hash] = at + this.#shift;
    return from;
  }

  #isMatch(at: number, from: number, value: number): boolean {
    if (at - from > LONGEST_DISTANCE) return false;
    this.work++;
    return this.#view.getInt32(from, true) === value;
  }

  // The first four bytes are known to agree.
  #match(at: number, from: number, end: number): number {
    const bytes = this.#bytes;
    let length = 4;
    while (at + length < end && bytes[at + length] === bytes[from + length]) length++;
    return length;
  }
}
