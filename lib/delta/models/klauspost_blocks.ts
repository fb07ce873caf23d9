// How klauspost/compress and Go 1.27 put parts of a stream into blocks. A part is at most 65,535 plain bytes. It becomes
// a stored block, a block of fixed codes, or a dynamic block, or it reuses the codes of the part before it, so
// that one dynamic block may hold many parts. A new header is worth it when an estimate says so, in floating-point
// numbers of 32 bits, which are computed here exactly as there.

import {
  countRunCodes,
  DISTANCE_EXTRA_BITS,
  END_OF_BLOCK,
  FIXED_LITERAL_LENGTHS,
  LENGTH_EXTRA_BITS,
  RUN_EXTRA_BITS,
} from "../deflate_tables.ts";
import { countRuns, Frequencies, writeRuns } from "./frequencies.ts";
import { HuffmanTree } from "./huffman_tree.ts";
import { estimateBits } from "./klauspost_estimate.ts";
import type { DynamicHeader } from "./model.ts";
import type { Part, PartHeaders, TokenList } from "./part_predictor.ts";

const LITERAL_CODES = 286;
const DISTANCE_CODES = 30;
const LONGEST_CODE = 15;
const LONGEST_RUN_CODE = 7;
/** Fixed codes are tried for parts of fewer tokens. */
const FEW_TOKENS = 250;
/** The bits that a header is taken for before it is made. */
const HEADER_GUESS = 70 * 8;
/** Parts longer than this are tested for evenly distributed bytes. */
const WORTH_TESTING = 1024;
/** A new header must save this fraction of the estimate, as a shift. */
const PENALTY_SHIFT = 7;

/** What differs between versions. */
export interface BlockStyle {
  /** Up to 1.18.0: a header that more parts may use gives lengths to all codes, and their end is not counted. */
  readonly fullHeaders: boolean;
  /** From 1.20.4 on: of equal frequencies, a symbol goes before an inner node. */
  readonly symbolsFirst: boolean;
}

/** Decides about the parts of one stream in their order. */
export class KlauspostBlocks implements PartHeaders {
  readonly #style: BlockStyle;
  readonly #tree: HuffmanTree;
  readonly #frequencies = new Frequencies();
  readonly #runFrequencies = new Int32Array(19);
  // The bits of the header whose codes the next part may use. 0: there is none.
  #openHeader = 0;
  readonly #openLiterals = new Uint8Array(LITERAL_CODES);
  readonly #openDistances = new Uint8Array(DISTANCE_CODES);
  // The open header was made for a part without matches.
  #isLiteralHeader = false;
  readonly #literalLengths = new Uint8Array(288);
  readonly #distanceLengths = new Uint8Array(32);
  readonly #header: DynamicHeader = {
    literalCount: 0,
    distanceCount: 0,
    lengths: new Uint8Array(320),
    runs: new Uint8Array(640),
    runCount: 0,
    runCodeCount: 0,
    runCodeLengths: new Uint8Array(19),
  };

  constructor(style: BlockStyle) {
    this.#style = style;
    this.#tree = new HuffmanTree(style.symbolsFirst ? "symbol" : "node");
  }

  /** Whatever follows starts a block. It is also what a stored block does. */
  close(): void {
    this.#openHeader = 0;
  }

  /** Decides about a part of literals only. @returns whether a block starts with it */
  addLiterals(part: Part): boolean {
    const { literals, distances } = this.#frequencies;
    const { size } = part;
    literals.fill(0);
    distances.fill(0);
    for (let at = part.start; at < part.end; at++) literals[part.bytes[at]!]!++;
    if (size > WORTH_TESTING && isEven(literals, size)) return this.#startOther();
    literals[END_OF_BLOCK] = 1;
    this.#makeLengths({ isFull: false }, this.#header);
    let estimate = countBits(literals, this.#literalLengths);
    estimate += this.#openHeader === 0 ? HEADER_GUESS : this.#openHeader;
    estimate += estimate >> PENALTY_SHIFT;
    if (storedBits(size) <= estimate) return this.#startOther();
    literals[END_OF_BLOCK] = distances[0] = 0;
    const isReused = this.#canReuse() && countBits(literals, this.#openLiterals) <= estimate;
    if (!isReused) this.#startDynamic(part, { isLiteral: true });
    if (part.isLast) this.close();
    return !isReused;
  }

  /** Decides about a part with matches. @returns whether a block starts with it */
  addTokens(part: Part): boolean {
    const frequencies = this.#frequencies;
    const { literals, distances } = frequencies;
    frequencies.count(part);
    const extraBits = countExtraBits(frequencies);
    const stored = storedBits(part.size);
    const isFull = this.#style.fullHeaders && !part.isLast;
    const tokens = part.count + (part.isLast ? 1 : 0);
    if (this.#isLiteralHeader || !this.#canReuse()) this.close();
    if (this.#openHeader > 0) {
      if (isFull) literals[END_OF_BLOCK] = 0;
      let size = this.#openHeader + estimateBits(frequencies, tokens);
      size += this.#openLiterals[END_OF_BLOCK]! + (size >> PENALTY_SHIFT);
      const reused = countBits(literals, this.#openLiterals) + countBits(distances, this.#openDistances) + extraBits;
      const isReused = reused <= size;
      if (isReused) size = reused;
      else this.close();
      if (tokens < FEW_TOKENS && fixedBits(frequencies) + extraBits + 7 < size) return this.#startOther();
      if (stored <= size) return this.#startOther();
      if (isReused) {
        if (part.isLast) this.close();
        return false;
      }
      literals[END_OF_BLOCK] = 1;
    }
    this.#makeLengths({ isFull }, this.#header);
    const size = this.#headerBits() + countBits(literals, this.#literalLengths) +
      countBits(distances, this.#distanceLengths) + extraBits;
    if (tokens < FEW_TOKENS && fixedBits(frequencies) + extraBits <= size) return this.#startOther();
    if (stored <= size) return this.#startOther();
    this.#startDynamic(part, { isLiteral: false });
    if (part.isLast) this.close();
    return true;
  }

  /** Sets the code lengths of a block whose first part has these tokens. */
  codeLengths(list: TokenList, header: DynamicHeader, isLast: boolean): void {
    this.#frequencies.count(list);
    const isFull = this.#style.fullHeaders && !isLast && this.#frequencies.distances.some((it) => it > 0);
    this.#makeLengths({ isFull }, header);
  }

  runLengths(header: DynamicHeader): void {
    writeRuns(header, 0);
  }

  runCodeLengths(header: DynamicHeader): void {
    countRuns(header, this.#runFrequencies);
    this.#tree.setLengths(this.#runFrequencies, LONGEST_RUN_CODE, header.runCodeLengths);
    header.runCodeCount = countRunCodes(header.runCodeLengths);
  }

  // A stored block or one of fixed codes starts.
  #startOther(): boolean {
    this.close();
    return true;
  }

  #startDynamic({ codes }: Part, { isLiteral }: { isLiteral: boolean }): void {
    codes.lengths.set(this.#header.lengths);
    codes.literalCount = this.#header.literalCount;
    codes.distanceCount = this.#header.distanceCount;
    this.#openHeader = this.#headerBits();
    this.#openLiterals.set(this.#literalLengths.subarray(0, LITERAL_CODES));
    this.#openDistances.set(this.#distanceLengths.subarray(0, DISTANCE_CODES));
    this.#isLiteralHeader = isLiteral;
  }

  // Every symbol of the part has an open code.
  #canReuse(): boolean {
    const { literals, distances } = this.#frequencies;
    return this.#openHeader > 0 && hasCodes(literals, this.#openLiterals) && hasCodes(distances, this.#openDistances);
  }

  // Sets the code lengths of the counted symbols.
  #makeLengths({ isFull }: { isFull: boolean }, header: DynamicHeader): void {
    if (isFull) [header.literalCount, header.distanceCount] = [LITERAL_CODES, DISTANCE_CODES];
    else this.#frequencies.setCodeCounts(header);
    this.#tree.setLengths(this.#frequencies.literals, LONGEST_CODE, this.#literalLengths);
    this.#tree.setLengths(this.#frequencies.distances, LONGEST_CODE, this.#distanceLengths);
    header.lengths.set(this.#literalLengths.subarray(0, header.literalCount));
    header.lengths.set(this.#distanceLengths.subarray(0, header.distanceCount), header.literalCount);
  }

  // The bits of the header with the last made code lengths.
  #headerBits(): number {
    const header = this.#header;
    this.runLengths(header);
    this.runCodeLengths(header);
    let bits = 17 + 3 * header.runCodeCount;
    for (let symbol = 0; symbol < 19; symbol++) {
      const extraBits = symbol < 16 ? 0 : RUN_EXTRA_BITS[symbol - 16]!;
      bits += this.#runFrequencies[symbol]! * (header.runCodeLengths[symbol]! + extraBits);
    }
    return bits;
  }
}

function storedBits(size: number): number {
  return (size + 5) * 8;
}

function countBits(frequencies: Int32Array, lengths: Uint8Array): number {
  let bits = 0;
  for (let symbol = 0; symbol < lengths.length; symbol++) bits += frequencies[symbol]! * lengths[symbol]!;
  return bits;
}

function countExtraBits({ literals, distances }: Frequencies): number {
  let bits = 0;
  for (let code = 0; code < LENGTH_EXTRA_BITS.length; code++) bits += literals[257 + code]! * LENGTH_EXTRA_BITS[code]!;
  for (let code = 0; code < DISTANCE_CODES; code++) bits += distances[code]! * DISTANCE_EXTRA_BITS[code]!;
  return bits;
}

// Three bits start the block, and every distance code has five.
function fixedBits({ literals, distances }: Frequencies): number {
  return 3 + countBits(literals, FIXED_LITERAL_LENGTHS) + 5 * distances.reduce((sum, it) => sum + it, 0);
}

function hasCodes(frequencies: Int32Array, lengths: Uint8Array): boolean {
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    if (frequencies[symbol]! > 0 && lengths[symbol] === 0) return false;
  }
  return true;
}

// The bytes are as evenly distributed as random ones: the part is stored without trying a code.
function isEven(frequencies: Int32Array, size: number): boolean {
  const [expected, limit] = [size / 256, size * 2];
  let deviation = 0;
  for (let byte = 0; byte < 256 && deviation <= limit; byte++) deviation += (frequencies[byte]! - expected) ** 2;
  return deviation < limit;
}
