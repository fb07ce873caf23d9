// Compresses parts as klauspost/compress and Go 1.27 do: it finds the matches of a part (`klauspost_matcher.ts`, and
// `klauspost1_matcher.ts` for level 1) and decides in which kind of block it goes (`klauspost_blocks.ts`).

import { Klauspost1Matcher } from "./klauspost1_matcher.ts";
import { type BlockStyle, KlauspostBlocks } from "./klauspost_blocks.ts";
import { KlauspostMatcher, type MatchStyle, SHORTEST_SEARCH } from "./klauspost_matcher.ts";
import type { Part, PartCompressor, PartHeaders } from "./part_predictor.ts";

/** pgzip reads so many bytes before a chunk as a dictionary. */
const DICTIONARY = 16_384;
/** A last part smaller than this is not searched for matches. */
const SMALL = 128;
/** A last part up to this size is stored. */
const TINY = 32;

/** How a level of a version behaves. */
export interface KlauspostStyle extends BlockStyle, MatchStyle {
  /** From 1.20.4 on, a small last part is searched for matches when there is data before it, or in pgzip. */
  readonly searchesSmall: boolean;
  /** Each chunk ends with a flush, not with the end of a stream (pgzip). */
  readonly flushes: boolean;
}

export class KlauspostCompressor implements PartCompressor {
  readonly headers: PartHeaders;
  readonly #style: KlauspostStyle;
  readonly #matcher: Klauspost1Matcher | KlauspostMatcher;
  readonly #blocks: KlauspostBlocks;

  constructor(style: KlauspostStyle, bytes: Uint8Array) {
    this.#style = style;
    this.#matcher = style.level === 1 ? new Klauspost1Matcher(bytes) : new KlauspostMatcher(bytes, style);
    this.headers = this.#blocks = new KlauspostBlocks(style);
  }

  get work(): number {
    return this.#matcher.work;
  }

  reset(): void {
    this.#blocks.close();
    this.#matcher.reset();
  }

  slide(count: number): void {
    this.#matcher.slide(count);
  }

  plan(part: Part): void {
    if (part.startsChunk && !part.isFirst) this.#readDictionary(part);
    const isSearched = this.#isSearched(part);
    if (isSearched) this.#matcher.encode(part, part);
    // Matches that save less than a sixteenth of the tokens are not used.
    if (part.count > 0 && part.count <= part.size - (part.size >> 4)) {
      part.startsBlock = this.#blocks.addTokens(part);
      return;
    }
    const isStored = isSearched ? this.#isStored(part) : part.size <= TINY;
    part.setLiterals();
    if (isStored) this.#blocks.close();
    part.startsBlock = isStored || this.#blocks.addLiterals(part);
  }

  // A new chunk can only refer to the dictionary. The tokens of the dictionary are of no use.
  #readDictionary(part: Part): void {
    const start = part.start - DICTIONARY;
    this.#blocks.close();
    this.#matcher.restart(start);
    this.#matcher.encode({ start, end: part.start }, part);
    part.count = 0;
  }

  #isSearched({ isLast, isFirst, size }: Part): boolean {
    if (!isLast || size >= SMALL) return true;
    return this.#style.searchesSmall && (this.#style.flushes || !isFirst);
  }

  // A part without matches is stored, from 1.20.4 on only when that means something.
  #isStored({ count, size }: Part): boolean {
    return size < SHORTEST_SEARCH || (count === 0 && (size >= SMALL || !this.#style.searchesSmall));
  }
}
