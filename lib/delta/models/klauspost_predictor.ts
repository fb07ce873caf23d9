// Predicts streams of klauspost/compress and of Go 1.27.
//
// The compressor takes 65,535 bytes at a time, a part. It finds the matches of the part (`klauspost_matcher.ts`) and
// decides in which kind of block it goes (`klauspost_blocks.ts`). pgzip cuts the stream into chunks. Each is compressed
// on its own, after the last 16 KiB of the chunk before it were read as a dictionary, and ends with an empty stored
// block.
//
// A whole part is predicted at once, and the next one when the end of a block is asked for: a block goes on into the
// next part if that part can use its codes. Where the real stream differs, the predicted tokens stay as they are.

import { tokenBytes } from "../deflate_tables.ts";
import { type BlockStyle, KlauspostBlocks, type Part } from "./klauspost_blocks.ts";
import { KlauspostMatcher, SHORTEST_SEARCH, type TokenList } from "./klauspost_matcher.ts";
import type { BlockTokens, DynamicHeader, HeaderStyle, PlainWindow, TokenPredictor } from "./model.ts";

const PART = 65_535;
const DICTIONARY = 16_384;
/** A last part smaller than this is not searched for matches. */
const SMALL = 128;
/** A last part up to this size is stored. */
const TINY = 32;
const SHORTEST_MATCH = 3;

/** Plain bytes before a position that a prediction reads. */
export const KLAUSPOST_HISTORY = 32_768;
/** The part at a position, which may be reached by a match that starts before it, and the next part. */
export const KLAUSPOST_LOOKAHEAD = 258 + 2 * PART;

/** How a level of a version behaves. */
export interface KlauspostVariant extends BlockStyle {
  readonly level: 5 | 6;
  /** From 1.15.10 on, level 5 looks for a better match at the end of a match. */
  readonly searchesEnds: boolean;
  /** From 1.20.4 on, a small last part is searched for matches when there is data before it. */
  readonly searchesSmall: boolean;
  /** The bytes of a chunk of pgzip, more than the dictionary. 0: a single stream. */
  readonly chunk: number;
}

/** A part with its predicted tokens. */
class PlannedPart implements Part, TokenList {
  readonly tokens = new Uint32Array(PART + 1);
  count = 0;
  start = 0;
  end = 0;
  isLast = false;
  startsBlock = true;
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  slide(count: number): void {
    this.start -= count;
    this.end -= count;
  }

  /** Makes every byte a literal token. */
  setLiterals(): void {
    for (let at = this.start; at < this.end; at++) this.tokens[at - this.start] = this.bytes[at]!;
    this.count = this.end - this.start;
  }
}

export class KlauspostPredictor implements TokenPredictor, HeaderStyle {
  readonly #variant: KlauspostVariant;
  readonly #window: PlainWindow;
  readonly #matcher: KlauspostMatcher;
  readonly #blocks: KlauspostBlocks;
  // The part with the position, and the one after it when it has been planned.
  #part: PlannedPart;
  #nextPart: PlannedPart;
  #isNextPlanned = false;
  // The next predicted token and where it starts.
  #token = 0;
  #at = 0;

  constructor(variant: KlauspostVariant, window: PlainWindow) {
    this.#variant = variant;
    this.#window = window;
    this.#matcher = new KlauspostMatcher(window.bytes, variant);
    this.#blocks = new KlauspostBlocks(variant);
    this.#part = new PlannedPart(window.bytes);
    this.#nextPart = new PlannedPart(window.bytes);
  }

  get headers(): HeaderStyle {
    return this;
  }

  get work(): number {
    return this.#matcher.work;
  }

  reset(): void {
    this.#blocks.close();
    this.#matcher.reset(0);
    this.#part.start = this.#part.end = this.#part.count = 0;
    this.#isNextPlanned = false;
    this.#token = this.#at = 0;
  }

  slide(count: number): void {
    this.#matcher.slide(count);
    this.#part.slide(count);
    this.#nextPart.slide(count);
    this.#at -= count;
  }

  token(at: number): number {
    if (at !== this.#at || this.#token === this.#part.count) {
      const inside = this.#seek(at);
      if (inside !== undefined) return inside;
    }
    const token = this.#part.tokens[this.#token++]!;
    this.#at += tokenBytes(token);
    return token;
  }

  // What follows a real token does not change: `token` finds its position among the predicted tokens.
  correct(): void {}

  endsBlock({ start, bytes }: BlockTokens): boolean {
    const window = this.#window;
    const at = start + bytes - window.origin;
    if (at < this.#part.end) return false;
    if (this.#part.isLast || (window.ended && at >= window.length)) return true;
    if (at > this.#part.end) return false;
    this.#planNext();
    return this.#nextPart.startsBlock;
  }

  /** The code lengths of a block are those of its first part: the parts after it use them, too. */
  codeLengths(block: BlockTokens, header: DynamicHeader): void {
    const start = block.start - this.#window.origin;
    const end = start + this.#partSize(start);
    let [at, count] = [start, 0];
    while (count < block.count && at < end) at += tokenBytes(block.tokens[count++]!);
    this.#blocks.codeLengths({ tokens: block.tokens, count }, { isLast: this.#isLast(end), header });
  }

  runLengths(header: DynamicHeader): void {
    this.#blocks.runLengths(header);
  }

  runCodeLengths(header: DynamicHeader): void {
    this.#blocks.runCodeLengths(header);
  }

  // Finds the predicted token at a position. @returns another prediction when none starts there
  #seek(at: number): number | undefined {
    const part = this.#part;
    if (at < part.start) return part.bytes[at]!;
    while (this.#token > 0 && this.#at > at) this.#at -= tokenBytes(part.tokens[--this.#token]!);
    while (at >= this.#part.end) this.#takeNext();
    const { tokens, bytes } = this.#part;
    while (this.#at < at) {
      const token = tokens[this.#token++]!;
      this.#at += tokenBytes(token);
      const rest = this.#at - at;
      if (rest <= 0) continue;
      return rest < SHORTEST_MATCH ? bytes[at]! : rest << 16 | (token & 0xffff);
    }
    return undefined;
  }

  #takeNext(): void {
    this.#planNext();
    [this.#part, this.#nextPart] = [this.#nextPart, this.#part];
    this.#isNextPlanned = false;
    this.#token = 0;
    this.#at = this.#part.start;
  }

  #planNext(): void {
    if (this.#isNextPlanned) return;
    this.#isNextPlanned = true;
    const part = this.#nextPart;
    part.start = this.#part.end;
    part.end = part.start + this.#partSize(part.start);
    part.isLast = this.#isLast(part.end);
    if (this.#startsChunk(part.start)) this.#startChunk(part);
    this.#plan(part);
  }

  // Finds the tokens of a part and whether a block starts with it.
  #plan(part: PlannedPart): void {
    const { searchesSmall, chunk } = this.#variant;
    const size = part.end - part.start;
    const isSmall = part.isLast && size < SMALL;
    const isAlone = chunk === 0 && this.#window.origin + part.start === 0;
    const isSearched = !isSmall || (searchesSmall && !isAlone);
    part.count = 0;
    if (isSearched) this.#matcher.encode(part.start, part.end, part);
    const few = size - (size >> 4);
    if (part.count > 0 && part.count <= few) {
      part.startsBlock = this.#blocks.addTokens(part, part);
      return;
    }
    const isStored = isSearched
      ? size < SHORTEST_SEARCH || (part.count === 0 && size >= (searchesSmall ? SMALL : 0))
      : size <= TINY;
    part.setLiterals();
    if (isStored) this.#blocks.close();
    part.startsBlock = isStored || this.#blocks.addLiterals(part);
  }

  #startsChunk(at: number): boolean {
    const { chunk } = this.#variant;
    return chunk > 0 && (this.#window.origin + at) % chunk === 0;
  }

  #startChunk(part: PlannedPart): void {
    this.#blocks.close();
    const isFirst = this.#window.origin + part.start === 0;
    const base = isFirst ? part.start : part.start - DICTIONARY;
    this.#matcher.reset(base);
    // The tokens of the dictionary are of no use, but its positions are remembered.
    this.#matcher.encode(base, part.start, part);
  }

  #partSize(start: number): number {
    const { chunk } = this.#variant;
    const left = this.#window.length - start;
    // A stream is cut into parts of equal size from its start on, and so is every chunk.
    const position = this.#window.origin + start;
    const inChunk = chunk === 0 ? position : position % chunk;
    const toEnd = PART - inChunk % PART;
    return Math.min(left, toEnd, chunk === 0 ? toEnd : chunk - inChunk);
  }

  // The part that ends here is the last one of a chunk, or of the stream.
  #isLast(end: number): boolean {
    return (this.#window.ended && end >= this.#window.length) || this.#startsChunk(end);
  }
}
