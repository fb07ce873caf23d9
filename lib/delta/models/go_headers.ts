import { countRunCodes } from "../deflate_tables.ts";
import { countRuns, Frequencies, writeRuns } from "./frequencies.ts";
import type { BlockTokens, DynamicHeader, HeaderStyle } from "./model.ts";

const NEVER = 0x7fffffff;
const LEVELS = 16;

/**
 * Headers as Go's compress/flate makes them: Huffman codes of a limited length by the boundary package-merge
 * algorithm, with codes of equal frequency in the order of their symbols.
 */
export class GoHeaders implements HeaderStyle {
  readonly #frequencies = new Frequencies();
  readonly #runFrequencies = new Int32Array(19);
  readonly #lengths = new Uint8Array(320);

  codeLengths(list: Pick<BlockTokens, "tokens" | "count">, header: DynamicHeader): void {
    this.#frequencies.count(list);
    this.#frequencies.setCodeCounts(header);
    goCodeLengths(this.#frequencies.literals, 15, this.#lengths);
    header.lengths.set(this.#lengths.subarray(0, header.literalCount));
    goCodeLengths(this.#frequencies.distances, 15, this.#lengths);
    header.lengths.set(this.#lengths.subarray(0, header.distanceCount), header.literalCount);
  }

  runLengths(header: DynamicHeader): void {
    writeRuns(header, 0);
  }

  runCodeLengths(header: DynamicHeader): void {
    countRuns(header, this.#runFrequencies);
    goCodeLengths(this.#runFrequencies, 7, header.runCodeLengths);
    header.runCodeCount = countRunCodes(header.runCodeLengths);
  }
}

/** Sets the code lengths, at most `maxLength` (15 or less), of symbols with these frequencies. */
export function goCodeLengths(frequencies: Int32Array, maxLength: number, lengths: Uint8Array): void {
  lengths.fill(0, 0, Math.min(lengths.length, frequencies.length));
  const symbols = sortSymbols(frequencies);
  const count = symbols.length;
  if (count <= 2) {
    for (const symbol of symbols) lengths[symbol] = 1;
    return;
  }
  const longest = Math.min(maxLength, count - 1);
  const leaves = countLeaves(Int32Array.from(symbols, (symbol) => frequencies[symbol]!), longest);
  let end = count;
  for (let level = longest, length = 1; level > 0; level--, length++) {
    const start = end - (leaves[level]! - leaves[level - 1]!);
    for (let index = start; index < end; index++) lengths[symbols[index]!] = length;
    end = start;
  }
}

// The symbols in use, the rarest first, and in their order where they are as rare.
function sortSymbols(frequencies: Int32Array): Uint16Array {
  const keys = new Float64Array(frequencies.length);
  let count = 0;
  for (let symbol = 0; symbol < frequencies.length; symbol++) {
    if (frequencies[symbol] !== 0) keys[count++] = frequencies[symbol]! * 512 + symbol;
  }
  return Uint16Array.from(keys.subarray(0, count).sort(), (key) => key % 512);
}

/** The state of one level of the package-merge algorithm. */
class Levels {
  readonly last = new Int32Array(LEVELS + 1);
  readonly nextLeaf = new Int32Array(LEVELS + 1);
  readonly nextPair = new Float64Array(LEVELS + 2);
  readonly needed = new Int32Array(LEVELS + 1);
  /** For each level, the leaves to the left of its last node at each level below. */
  readonly leaves = Array.from({ length: LEVELS + 1 }, () => new Int32Array(LEVELS + 1));
}

const levels = new Levels();

/**
 * Counts the leaves of the boundary package-merge algorithm. Which of several optimal codes comes out depends on the
 * order of its steps: they are those of Go, where a pair goes before a leaf of the same frequency.
 *
 * @param sorted the frequencies, rising
 * @returns for each level, the leaves to the left of the last node of the top level
 */
function countLeaves(sorted: Int32Array, top: number): Int32Array {
  const { last, nextLeaf, nextPair, needed, leaves } = levels;
  const frequency = (index: number) => index < sorted.length ? sorted[index]! : NEVER;
  needed.fill(0);
  for (let level = 1; level <= top; level++) {
    last[level] = frequency(1);
    nextLeaf[level] = frequency(2);
    nextPair[level] = level === 1 ? NEVER : frequency(0) + frequency(1);
    leaves[level]!.fill(0)[level] = 2;
  }
  needed[top] = 2 * sorted.length - 4;
  for (let level = top;;) {
    if (nextPair[level] === NEVER && nextLeaf[level] === NEVER) {
      needed[level] = 0;
      nextPair[++level] = NEVER;
      continue;
    }
    const previous = last[level]!;
    if (nextLeaf[level]! < nextPair[level]!) {
      const count = leaves[level]![level]! + 1;
      last[level] = nextLeaf[level]!;
      leaves[level]![level] = count;
      nextLeaf[level] = frequency(count);
    } else {
      last[level] = nextPair[level]!;
      const below = leaves[level - 1]!;
      for (let lower = 0; lower < level; lower++) leaves[level]![lower] = below[lower]!;
      needed[level - 1] = 2;
    }
    if (--needed[level]! === 0) {
      if (level === top) return leaves[top]!;
      nextPair[level + 1] = previous + last[level]!;
      level++;
    } else {
      while (needed[level - 1]! > 0) level--;
    }
  }
}
