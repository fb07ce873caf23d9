// Predicts the streams of compressors that take 65,535 plain bytes at a time, a part, and decide about the part as a
// whole: Go's level 1, klauspost/compress, and Go from 1.27 on.
//
// A whole part is predicted at once, and the next one when the end of a block is asked for: a block may go on into the
// next part. Where the real stream differs, the predicted tokens stay as they are.

import { tokenBytes } from "../deflate_tables.ts";
import type { BlockTokens, DynamicHeader, HeaderStyle, PlainWindow, TokenPredictor, TokenRun } from "./model.ts";

const PART = 65_535;
const SHORTEST_MATCH = 3;

/**
 * Plain bytes before a position that a prediction reads: the longest distance, before a part that was passed by when a
 * stored block was longer than predicted.
 */
export const PART_HISTORY = 32_768 + PART;
/** The part at a position, which may be reached by a match that starts before it, and the next part. */
export const PART_LOOKAHEAD = 258 + 2 * PART;

/** Tokens in an array that is large enough for a token a byte. */
export interface TokenList {
  readonly tokens: Uint32Array;
  count: number;
}

/** Makes the headers of blocks. */
export interface PartHeaders extends Omit<HeaderStyle, "codeLengths"> {
  /** Sets the code lengths of a block whose first part has these tokens. */
  codeLengths(list: TokenList, header: DynamicHeader, isLast: boolean): void;
}

/** Decides about the parts of a stream in their order. */
export interface PartCompressor {
  readonly headers: PartHeaders;
  /** Candidates that were compared so far. */
  readonly work: number;
  /** A new stream starts. */
  reset(): void;
  /** All indices decrease by `count`. */
  slide(count: number): void;
  /** Sets the tokens of a part, which are none at first, and `startsBlock`. */
  plan(part: Part): void;
}

/** A part with its predicted tokens. */
export class Part implements TokenList {
  readonly tokens = new Uint32Array(PART + 1);
  count = 0;
  start = 0;
  end = 0;
  /** Nothing precedes the part in the stream. */
  isFirst = false;
  /** The part is the first one of a chunk, which is compressed on its own. */
  startsChunk = false;
  /** The part is the last one of the stream or of a chunk. */
  isLast = false;
  /** A block starts with the part. Otherwise it continues the block of the part before it. */
  startsBlock = true;
  /** The code lengths of the dynamic block that starts with the part. Their counts are 0 when they are not known. */
  readonly codes = { lengths: new Uint8Array(320), literalCount: 0, distanceCount: 0 };
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get size(): number {
    return this.end - this.start;
  }

  /** Makes every byte a literal token. */
  setLiterals(): void {
    this.count = 0;
    this.putLiterals(this.start, this.end);
  }

  /** Adds bytes as literal tokens. */
  putLiterals(start: number, end: number): void {
    const { bytes, tokens } = this;
    let count = this.count;
    for (let at = start; at < end; at++) tokens[count++] = bytes[at]!;
    this.count = count;
  }
}

/** What the parts come from. */
interface PartSource {
  readonly window: PlainWindow;
  /** The bytes of a chunk. Absent: the stream is one. */
  readonly chunk?: number;
}

export class PartPredictor implements TokenPredictor, HeaderStyle {
  readonly #compressor: PartCompressor;
  readonly #window: PlainWindow;
  readonly #chunk: number;
  // The part with the position, and the one after it when it has been planned.
  #part: Part;
  #nextPart: Part;
  #isNextPlanned = false;
  // The next predicted token and where it starts.
  #token = 0;
  #at = 0;
  // A token was corrected since the last dynamic block.
  #isCorrected = false;
  readonly #run = { tokens: new Uint32Array(), from: 0, count: 0, bytes: 0 };

  constructor(compressor: PartCompressor, { window, chunk = Infinity }: PartSource) {
    this.#compressor = compressor;
    this.#window = window;
    this.#chunk = chunk;
    this.#part = new Part(window.bytes);
    this.#nextPart = new Part(window.bytes);
  }

  get headers(): HeaderStyle {
    return this;
  }

  get work(): number {
    return this.#compressor.work;
  }

  reset(): void {
    this.#compressor.reset();
    this.#part.start = this.#part.end = this.#part.count = 0;
    this.#isNextPlanned = false;
    this.#token = this.#at = 0;
    this.#isCorrected = false;
  }

  slide(count: number): void {
    this.#compressor.slide(count);
    for (const part of [this.#part, this.#nextPart]) {
      part.start -= count;
      part.end -= count;
    }
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

  run(at: number, most: number): TokenRun | undefined {
    const { tokens, count: all } = this.#part;
    // The last token may end the block.
    const end = Math.min(all - 1, this.#token + most);
    if (at !== this.#at || this.#token >= end) return undefined;
    let bytes = 0;
    for (let index = this.#token; index < end; index++) bytes += tokenBytes(tokens[index]!);
    const run = this.#run;
    [run.tokens, run.from, run.count, run.bytes] = [tokens, this.#token, end - this.#token, bytes];
    this.#token = end;
    this.#at += bytes;
    return run;
  }

  // What follows a real token does not change: `token` finds its position among the predicted tokens.
  correct(): void {
    this.#isCorrected = true;
  }

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
    if (this.#isPredicted(block, start)) {
      const { lengths, literalCount, distanceCount } = this.#part.codes;
      header.lengths.set(lengths);
      [header.literalCount, header.distanceCount] = [literalCount, distanceCount];
      return;
    }
    this.#isCorrected = false;
    const end = start + this.#partSize(start);
    let [at, count] = [start, 0];
    while (count < block.count && at < end) at += tokenBytes(block.tokens[count++]!);
    this.#compressor.headers.codeLengths({ tokens: block.tokens, count }, header, this.#isLast(end));
  }

  runLengths(header: DynamicHeader): void {
    this.#compressor.headers.runLengths(header);
  }

  runCodeLengths(header: DynamicHeader): void {
    this.#compressor.headers.runCodeLengths(header);
  }

  // The tokens of the block are those of the part, so that the code lengths are, too.
  #isPredicted(block: BlockTokens, start: number): boolean {
    const { start: partStart, size, codes } = this.#part;
    return !this.#isCorrected && codes.literalCount > 0 && start === partStart && block.bytes >= size;
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
    part.isFirst = this.#window.origin + part.start === 0;
    part.startsChunk = this.#startsChunk(part.start);
    part.isLast = this.#isLast(part.end);
    part.count = part.codes.literalCount = 0;
    this.#compressor.plan(part);
  }

  #startsChunk(at: number): boolean {
    return (this.#window.origin + at) % this.#chunk === 0;
  }

  // The stream and every chunk are cut into parts of equal size from their start on.
  #partSize(start: number): number {
    const inChunk = (this.#window.origin + start) % this.#chunk;
    return Math.min(this.#window.length - start, PART - inChunk % PART, this.#chunk - inChunk);
  }

  #isLast(end: number): boolean {
    return (this.#window.ended && end >= this.#window.length) || this.#startsChunk(end);
  }
}
