import { type BitInput, DeflateError } from "./bit_input.ts";
import { createHeader, type DecodedBlock, type DecodedBlocks, DYNAMIC, FIXED, STORED } from "./decoded_blocks.ts";
import {
  DISTANCE_BASE,
  DISTANCE_EXTRA_BITS,
  END_OF_BLOCK,
  FIXED_DISTANCE_LENGTHS,
  FIXED_LITERAL_LENGTHS,
  LENGTH_BASE,
  LENGTH_EXTRA_BITS,
  LONG_258,
  RUN_BASE,
  RUN_CODE_ORDER,
  RUN_EXTRA_BITS,
} from "./deflate_tables.ts";
import { HuffmanDecoder, TABLE_BITS } from "./huffman_code.ts";
import type { MemberWindow } from "./member_window.ts";
import type { DynamicHeader } from "./models/model.ts";
import { cannot } from "../oci/error.ts";

const TABLE_MASK = (1 << TABLE_BITS) - 1;
/** Bytes of the longest header of a block, and more. */
const LONGEST_HEADER = 1024;
/** Bytes of the longest token, and those that are taken ahead of it. */
const LONGEST_TOKEN = 12;
const LONGEST_MATCH = 258;

/** What a `DeflateReader` reads from, and into. */
interface DeflateReaderOptions {
  readonly input: BitInput;
  readonly window: MemberWindow;
  readonly decoded: DecodedBlocks;
  /** The plain bytes of matches are counted, and not made, and headers are not kept: only the tokens are needed. Default: no. */
  readonly isPlainLeftOut?: boolean;
  /** What an earlier reader has left. Default: new ones. */
  readonly codes?: DeflateCodes;
}

/** The codes of the blocks of a stream, one after the other. They are large, and can be used again for another stream. */
export class DeflateCodes {
  readonly dynamic = { literals: new HuffmanDecoder(), distances: new HuffmanDecoder() };
  readonly runs = new HuffmanDecoder();
  readonly fixed = { literals: new HuffmanDecoder(), distances: new HuffmanDecoder() };
  /** Of the last block, where only the tokens are needed. */
  readonly header = createHeader();

  constructor() {
    this.fixed.literals.build(FIXED_LITERAL_LENGTHS);
    this.fixed.distances.build(FIXED_DISTANCE_LENGTHS.subarray(0, 30));
  }
}

/** Decodes the blocks of a deflate stream (RFC 1951): tokens and headers into a queue, plain bytes into a window. */
export class DeflateReader {
  readonly #input: BitInput;
  readonly #window: MemberWindow;
  readonly #decoded: DecodedBlocks;
  readonly #isPlainLeftOut: boolean;
  readonly #codes: DeflateCodes;
  #block: DecodedBlock | undefined;
  #storedLeft = 0;

  constructor({ input, window, decoded, isPlainLeftOut = false, codes }: DeflateReaderOptions) {
    this.#codes = codes ?? new DeflateCodes();
    this.#isPlainLeftOut = isPlainLeftOut;
    this.#input = input;
    this.#window = window;
    this.#decoded = decoded;
  }

  /**
   * Decodes until the window is full, about one received chunk is decoded, or the final block has ended.
   *
   * @returns `true` after the final block
   * @throws {DeflateError} when the stream is damaged or cut
   */
  async decode(): Promise<boolean> {
    if (this.#block === undefined) {
      await this.#input.need(LONGEST_HEADER);
      this.#block = this.#readHeader();
      this.#decoded.blocks.push(this.#block);
    } else if (this.#input.available < LONGEST_HEADER) {
      await this.#input.need(LONGEST_HEADER);
    }
    const block = this.#block;
    if (block.type === STORED) this.#copyStored(block);
    else this.#decodeTokens(block, block.type === FIXED ? this.#codes.fixed : this.#codes.dynamic);
    if (!block.isComplete) return false;
    this.#block = undefined;
    return block.isFinal;
  }

  #readHeader(): DecodedBlock {
    const input = this.#input;
    const bit = input.position;
    const isFinal = input.take(1) === 1;
    const type = input.take(2);
    const block = { type, isFinal, bit, padding: 0, storedBytes: 0, tokens: 0, isComplete: false };
    if (type === STORED) {
      const padding = input.alignToByte();
      const [length, complement] = [input.take(16), input.take(16)];
      if ((length ^ 0xffff) !== complement) throw invalid("the length of a stored block contradicts itself");
      input.alignToByte();
      this.#storedLeft = length;
      return { ...block, padding, storedBytes: length };
    }
    if (type === FIXED) return block;
    if (type !== DYNAMIC) throw invalid("a block has the reserved type");
    const header = this.#readDynamicHeader();
    input.checkEnd();
    return { ...block, header };
  }

  #readDynamicHeader(): DynamicHeader {
    const input = this.#input;
    const header = this.#isPlainLeftOut ? this.#codes.header : createHeader();
    for (const lengths of [header.lengths, header.runCodeLengths]) lengths.fill(0);
    header.literalCount = input.take(5) + 257;
    header.distanceCount = input.take(5) + 1;
    header.runCodeCount = input.take(4) + 4;
    if (header.literalCount > 286 || header.distanceCount > 30) throw invalid("a block has too many codes");
    for (let index = 0; index < header.runCodeCount; index++) {
      header.runCodeLengths[RUN_CODE_ORDER[index]!] = input.take(3);
    }
    if (!this.#codes.runs.build(header.runCodeLengths)) throw invalid("a code is over-subscribed");
    this.#readRuns(header);
    const total = header.literalCount + header.distanceCount;
    const { literals, distances } = this.#codes.dynamic;
    if (
      !literals.build(header.lengths.subarray(0, header.literalCount)) ||
      !distances.build(header.lengths.subarray(header.literalCount, total))
    ) throw invalid("a code is over-subscribed");
    return header;
  }

  #readRuns(header: DynamicHeader): void {
    const input = this.#input;
    const { lengths, runs } = header;
    const total = header.literalCount + header.distanceCount;
    let [count, runCount] = [0, 0];
    while (count < total) {
      input.fill();
      const entry = this.#codes.runs.table[input.bits & TABLE_MASK]!;
      if (entry === 0) throw invalid("a code is not in use");
      input.skip(entry & 15);
      const symbol = entry >> 4;
      runs[runCount++] = symbol;
      if (symbol < 16) {
        lengths[count++] = symbol;
        continue;
      }
      if (symbol === 16 && count === 0) throw invalid("a header repeats nothing");
      const extra = input.take(RUN_EXTRA_BITS[symbol - 16]!);
      runs[runCount++] = extra;
      const repeats = RUN_BASE[symbol - 16]! + extra;
      if (count + repeats > total) throw invalid("a header has too many code lengths");
      lengths.fill(symbol === 16 ? lengths[count - 1]! : 0, count, count + repeats);
      count += repeats;
    }
    header.runCount = runCount;
  }

  #copyStored(block: DecodedBlock): void {
    const [input, window] = [this.#input, this.#window];
    input.checkEnd();
    const count = Math.min(this.#storedLeft, input.available, window.room);
    if (count === 0 && this.#storedLeft > 0 && window.room > 0) throw invalid("it ends too early");
    window.bytes.set(input.bytes.subarray(input.at, input.at + count), window.length);
    window.length += count;
    input.at += count;
    this.#storedLeft -= count;
    block.isComplete = this.#storedLeft === 0;
  }

  // The loop that all time goes to: local variables instead of fields.
  #decodeTokens(block: DecodedBlock, codes: { literals: HuffmanDecoder; distances: HuffmanDecoder }): void {
    const [input, window, decoded] = [this.#input, this.#window, this.#decoded];
    const { literals, distances } = codes;
    const isPlainLeftOut = this.#isPlainLeftOut;
    const [literalTable, distanceTable, bytes, plain] = [literals.table, distances.table, input.bytes, window.bytes];
    const tokenRoom = decoded.makeRoom();
    const { tokens } = decoded;
    const tokenLimit = decoded.tail + Math.min(tokenRoom, window.room);
    const plainLimit = plain.length - LONGEST_MATCH;
    const inputLimit = input.isLast ? input.end : input.end - LONGEST_TOKEN;
    let { bits, bitCount, at } = input;
    let length = window.length;
    let tail = decoded.tail;
    while (length <= plainLimit && tail < tokenLimit && at - (bitCount >> 3) <= inputLimit) {
      while (bitCount <= 24) {
        bits |= bytes[at++]! << bitCount;
        bitCount += 8;
      }
      let entry = literalTable[bits & TABLE_MASK]! || literals.findLong(bits);
      if (entry === 0) throw invalid("a code is not in use");
      bits >>>= entry & 15;
      bitCount -= entry & 15;
      entry >>= 4;
      if (entry < END_OF_BLOCK) {
        plain[length++] = tokens[tail++] = entry;
        continue;
      }
      if (entry === END_OF_BLOCK) {
        block.isComplete = true;
        break;
      }
      const lengthCode = entry - 257;
      if (lengthCode > 28) throw invalid("a length code is not in use");
      let extra = LENGTH_EXTRA_BITS[lengthCode]!;
      const match = LENGTH_BASE[lengthCode]! + (bits & ((1 << extra) - 1));
      bits >>>= extra;
      bitCount -= extra;
      while (bitCount <= 24) {
        bits |= bytes[at++]! << bitCount;
        bitCount += 8;
      }
      entry = distanceTable[bits & TABLE_MASK]! || distances.findLong(bits);
      if (entry === 0) throw invalid("a code is not in use");
      bits >>>= entry & 15;
      bitCount -= entry & 15;
      entry >>= 4;
      extra = DISTANCE_EXTRA_BITS[entry]!;
      while (bitCount <= 24) {
        bits |= bytes[at++]! << bitCount;
        bitCount += 8;
      }
      const distance = DISTANCE_BASE[entry]! + (bits & ((1 << extra) - 1));
      bits >>>= extra;
      bitCount -= extra;
      if (distance > length) throw invalid("a match reaches before the start");
      tokens[tail++] = (match === 258 && lengthCode === 27 ? LONG_258 : match) << 16 | distance;
      if (isPlainLeftOut) length += match;
      else for (const end = length + match; length < end; length++) plain[length] = plain[length - distance]!;
    }
    input.bits = bits;
    input.bitCount = bitCount;
    input.at = at;
    block.tokens += tail - decoded.tail;
    decoded.tail = tail;
    window.length = length;
    input.checkEnd();
  }
}

function invalid(reason: string): DeflateError {
  return new DeflateError(cannot("read the gzip stream", reason));
}
