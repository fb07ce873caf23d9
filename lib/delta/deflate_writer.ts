import type { BlockTokens, DynamicHeader } from "./models/model.ts";
import {
  DISTANCE_BASE,
  DISTANCE_CODES,
  DISTANCE_EXTRA_BITS,
  distanceCode,
  END_OF_BLOCK,
  FIXED_DISTANCE_LENGTHS,
  FIXED_LITERAL_LENGTHS,
  LENGTH_BASE,
  LENGTH_CODE,
  LENGTH_EXTRA_BITS,
  LITERAL_CODES,
  LONG_258,
  RUN_CODE_ORDER,
  RUN_EXTRA_BITS,
} from "./deflate_tables.ts";
import { DYNAMIC, FIXED, STORED } from "./decoded_blocks.ts";
import { assignCodes } from "./huffman_code.ts";

/** The bytes of the longest token (48 bits), rounded up. */
const LONGEST_TOKEN = 6;
const LONGEST_HEADER = 2048;

/** The lengths and codes of a block. Those of the distances have room for all codes. */
interface BlockCodes {
  readonly literalLengths: Uint8Array;
  readonly distanceLengths: Uint8Array;
  readonly literals: Uint16Array;
  readonly distances: Uint16Array;
}

/** Writes deflate blocks (RFC 1951) bit by bit as they are described, and bytes between them. */
export class DeflateWriter {
  #bytes = new Uint8Array(1 << 17);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;
  #bits = 0;
  #bitCount = 0;
  readonly #fixed: BlockCodes = createCodes();
  readonly #dynamic: BlockCodes = createCodes();
  readonly #runCodes = new Uint16Array(19);
  readonly #lengthBits = new Int32Array(LONG_258 + 1);
  readonly #lengthCounts = new Uint8Array(LONG_258 + 1);

  constructor() {
    const { literalLengths, distanceLengths, literals, distances } = this.#fixed;
    literalLengths.set(FIXED_LITERAL_LENGTHS);
    distanceLengths.set(FIXED_DISTANCE_LENGTHS);
    assignCodes(literalLengths, literals);
    assignCodes(distanceLengths, distances);
  }

  /** The memory that is written to; until more is written. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** The whole bytes that are ready to be taken. */
  get length(): number {
    return this.#length;
  }

  /** @returns the whole bytes so far, and forgets them. The array is only valid until more is written */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    return taken;
  }

  /** Writes bytes after a byte boundary. */
  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Fills the byte that was begun, if one was, with these bits. */
  pad(padding: number): void {
    this.#reserve(1);
    if (this.#bitCount > 0) this.#put(padding & ((1 << (8 - this.#bitCount)) - 1), 8 - this.#bitCount);
  }

  /** Writes the start of a stored block: its `length` bytes follow by `raw`. */
  storedBlock(length: number, { isFinal, padding }: { isFinal: boolean; padding: number }): void {
    this.#reserve(LONGEST_HEADER);
    this.#put(Number(isFinal) | STORED << 1, 3);
    this.pad(padding);
    this.#put(length, 16);
    this.#put(length ^ 0xffff, 16);
  }

  /** Writes a block with fixed codes, or with those of a header. */
  tokenBlock(block: BlockTokens, { isFinal, header }: { isFinal: boolean; header?: DynamicHeader }): void {
    this.#reserve(LONGEST_HEADER + block.count * LONGEST_TOKEN);
    this.#put(Number(isFinal) | (header === undefined ? FIXED : DYNAMIC) << 1, 3);
    if (header !== undefined) this.#putHeader(header);
    this.#putTokens(block, header === undefined ? this.#fixed : this.#dynamic);
  }

  #putHeader(header: DynamicHeader): void {
    const { literalCount, distanceCount, lengths, runs, runCount, runCodeCount, runCodeLengths } = header;
    this.#put(literalCount - 257, 5);
    this.#put(distanceCount - 1, 5);
    this.#put(runCodeCount - 4, 4);
    for (let index = 0; index < runCodeCount; index++) this.#put(runCodeLengths[RUN_CODE_ORDER[index]!]!, 3);
    assignCodes(runCodeLengths, this.#runCodes);
    for (let index = 0; index < runCount; index++) {
      const symbol = Math.min(runs[index]!, 18);
      this.#put(this.#runCodes[symbol]!, runCodeLengths[symbol]!);
      if (symbol < 16) continue;
      const extra = RUN_EXTRA_BITS[symbol - 16]!;
      this.#put((runs[++index] ?? 0) & ((1 << extra) - 1), extra);
    }
    const { literalLengths, distanceLengths, literals, distances } = this.#dynamic;
    literalLengths.fill(0).set(lengths.subarray(0, literalCount));
    distanceLengths.fill(0).set(lengths.subarray(literalCount, literalCount + distanceCount));
    assignCodes(literalLengths, literals);
    assignCodes(distanceLengths, distances);
  }

  // A loop that much time goes to: local variables instead of fields. Whole bytes are written four at a time, and those
  // that are not complete again; at most 27 bits wait.
  #putTokens(block: BlockTokens, codes: BlockCodes): void {
    const { literalLengths, distanceLengths, literals, distances } = codes;
    const [view, { tokens, count }] = [this.#view, block];
    const [lengthBits, lengthCounts] = [this.#lengthBits, this.#lengthCounts];
    this.#joinLengths(codes);
    let [bits, bitCount, length] = [this.#bits, this.#bitCount, this.#length];
    for (let index = 0; index < count; index++) {
      const token = tokens[index]!;
      if (token < 256) {
        bits |= literals[token]! << bitCount;
        bitCount += literalLengths[token]!;
      } else {
        const matchLength = token >>> 16;
        const distance = token & 0xffff;
        bits |= lengthBits[matchLength]! << bitCount;
        bitCount += lengthCounts[matchLength]!;
        view.setInt32(length, bits, true);
        length += bitCount >> 3;
        bits >>>= bitCount & 24;
        bitCount &= 7;
        const far = distanceCode(distance);
        bits |= distances[far]! << bitCount;
        bitCount += distanceLengths[far]!;
        view.setInt32(length, bits, true);
        length += bitCount >> 3;
        bits >>>= bitCount & 24;
        bitCount &= 7;
        bits |= (distance - DISTANCE_BASE[far]!) << bitCount;
        bitCount += DISTANCE_EXTRA_BITS[far]!;
      }
      view.setInt32(length, bits, true);
      length += bitCount >> 3;
      bits >>>= bitCount & 24;
      bitCount &= 7;
    }
    [this.#bits, this.#bitCount, this.#length] = [bits, bitCount, length];
    this.#put(literals[END_OF_BLOCK]!, literalLengths[END_OF_BLOCK]!);
  }

  // The code of each length of a match and its extra bits, at most 20.
  #joinLengths({ literalLengths, literals }: BlockCodes): void {
    for (let length = 3; length <= LONG_258; length++) {
      const code = LENGTH_CODE[length]!;
      const extra = (length === LONG_258 ? 258 : length) - LENGTH_BASE[code]!;
      this.#lengthBits[length] = literals[code + 257]! | extra << literalLengths[code + 257]!;
      this.#lengthCounts[length] = literalLengths[code + 257]! + LENGTH_EXTRA_BITS[code]!;
    }
  }

  /** Writes up to 16 bits. */
  #put(value: number, count: number): void {
    this.#bits |= value << this.#bitCount;
    this.#bitCount += count;
    while (this.#bitCount >= 8) {
      this.#bytes[this.#length++] = this.#bits;
      this.#bits >>>= 8;
      this.#bitCount -= 8;
    }
  }

  #reserve(count: number): void {
    if (this.#length + count + LONGEST_TOKEN <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count + LONGEST_TOKEN));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

function createCodes(): BlockCodes {
  return {
    literalLengths: new Uint8Array(LITERAL_CODES),
    distanceLengths: new Uint8Array(DISTANCE_CODES),
    literals: new Uint16Array(LITERAL_CODES),
    distances: new Uint16Array(DISTANCE_CODES),
  };
}
