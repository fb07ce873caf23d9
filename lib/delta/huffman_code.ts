const LONGEST_CODE = 15;
/** Codes of up to so many bits are found with one look-up. */
export const TABLE_BITS = 11;
const TABLE_SIZE = 1 << TABLE_BITS;

/** Reverses the lowest `count` bits: codes are written with their highest bit first (RFC 1951 section 3.1.1). */
function reverseBits(value: number, count: number): number {
  return ((REVERSED[value & 255]! << 8 | REVERSED[value >> 8 & 255]!) >> (16 - count)) & ((1 << count) - 1);
}

const REVERSED = makeReversed();

function makeReversed(): Uint8Array {
  const reversed = new Uint8Array(256);
  for (let value = 0; value < 256; value++) {
    for (let bit = 0; bit < 8; bit++) if (value >> bit & 1) reversed[value]! |= 128 >> bit;
  }
  return reversed;
}

/** Decodes symbols of a canonical Huffman code (RFC 1951 section 3.2.2). The object is reused for every block. */
export class HuffmanDecoder {
  /** For the next `TABLE_BITS` bits of input: `symbol << 4 | length`, or 0 when the code is longer or invalid. */
  readonly table = new Int32Array(TABLE_SIZE);
  readonly #counts = new Uint16Array(LONGEST_CODE + 1);
  readonly #firstCodes = new Int32Array(LONGEST_CODE + 2);
  readonly #offsets = new Int32Array(LONGEST_CODE + 2);
  readonly #next = new Int32Array(LONGEST_CODE + 2);
  readonly #symbols = new Uint16Array(320);

  /** Takes the code of these lengths. @returns `false` when more codes than possible have these lengths */
  build(lengths: Uint8Array): boolean {
    const [counts, firstCodes, offsets] = [this.#counts, this.#firstCodes, this.#offsets];
    this.table.fill(0);
    counts.fill(0);
    for (let symbol = 0; symbol < lengths.length; symbol++) counts[lengths[symbol]!]!++;
    counts[0] = 0;
    let [code, offset] = [0, 0];
    for (let length = 1; length <= LONGEST_CODE; length++) {
      code = (code + counts[length - 1]!) << 1;
      firstCodes[length] = code;
      offsets[length] = offset;
      offset += counts[length]!;
      if (code + counts[length]! > 1 << length) return false;
    }
    this.#fill(lengths);
    return true;
  }

  #fill(lengths: Uint8Array): void {
    const { table } = this;
    const [next, firstCodes, offsets, symbols] = [this.#next, this.#firstCodes, this.#offsets, this.#symbols];
    next.set(firstCodes);
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      const length = lengths[symbol]!;
      if (length === 0) continue;
      const code = next[length]!++;
      symbols[offsets[length]! + code - firstCodes[length]!] = symbol;
      if (length > TABLE_BITS) continue;
      const entry = symbol << 4 | length;
      for (let at = reverseBits(code, length); at < TABLE_SIZE; at += 1 << length) table[at] = entry;
    }
  }

  /** Finds the code of more than `TABLE_BITS` bits that `bits` starts with: an entry as in the table, or 0. */
  findLong(bits: number): number {
    const code = reverseBits(bits & 0x7fff, LONGEST_CODE);
    for (let length = TABLE_BITS + 1; length <= LONGEST_CODE; length++) {
      const index = (code >> (LONGEST_CODE - length)) - this.#firstCodes[length]!;
      if (index >= 0 && index < this.#counts[length]!) {
        return this.#symbols[this.#offsets[length]! + index]! << 4 | length;
      }
    }
    return 0;
  }
}

/** Sets the codes of these lengths, as they are written, from the lowest bit on. */
export function assignCodes(lengths: Uint8Array, codes: Uint16Array): void {
  const next = new Uint16Array(LONGEST_CODE + 1);
  for (let symbol = 0; symbol < lengths.length; symbol++) next[lengths[symbol]!]!++;
  let [code, count] = [0, 0];
  for (let length = 1; length <= LONGEST_CODE; length++) {
    code = (code + count) << 1;
    count = next[length]!;
    next[length] = code;
  }
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]!;
    if (length !== 0) codes[symbol] = reverseBits(next[length]!++, length);
  }
}
