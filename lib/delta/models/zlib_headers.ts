import { countRunCodes } from "../deflate_tables.ts";
import { countRuns, Frequencies, writeRuns } from "./frequencies.ts";
import type { BlockTokens, DynamicHeader, HeaderStyle } from "./model.ts";

const MAX_CODES = 286;
const MAX_NODES = 2 * MAX_CODES + 1;

/** Headers as zlib and GNU gzip make them: Huffman trees by a heap, shortened where they are too deep. */
export class ZlibHeaders implements HeaderStyle {
  readonly #frequencies = new Frequencies();
  readonly #runFrequencies = new Int32Array(19);
  readonly #literals = new Uint8Array(MAX_CODES);
  readonly #distances = new Uint8Array(30);
  readonly #tree = new ZlibTree();

  codeLengths(block: BlockTokens, header: DynamicHeader): void {
    this.#frequencies.count(block);
    const [literals, distances] = [this.#literals, this.#distances];
    this.#tree.codeLengths(this.#frequencies.literals.subarray(0, MAX_CODES), 15, literals);
    this.#tree.codeLengths(this.#frequencies.distances.subarray(0, 30), 15, distances);
    header.literalCount = lastUsed(literals) + 1;
    header.distanceCount = lastUsed(distances) + 1;
    header.lengths.set(literals);
    header.lengths.set(distances, header.literalCount);
  }

  runLengths(header: DynamicHeader): void {
    writeRuns(header, header.literalCount);
  }

  runCodeLengths(header: DynamicHeader): void {
    countRuns(header, this.#runFrequencies);
    this.#tree.codeLengths(this.#runFrequencies, 7, header.runCodeLengths);
    header.runCodeCount = countRunCodes(header.runCodeLengths);
  }
}

function lastUsed(lengths: Uint8Array): number {
  let code = lengths.length - 1;
  while (code > 0 && lengths[code] === 0) code--;
  return code;
}

/** Builds the trees. Which of several optimal codes comes out depends on the order of the steps: those of zlib. */
class ZlibTree {
  readonly #frequencies = new Int32Array(MAX_NODES);
  readonly #depths = new Uint8Array(MAX_NODES);
  readonly #parents = new Int32Array(MAX_NODES);
  readonly #nodeLengths = new Uint8Array(MAX_NODES);
  /** The heap from index 1 on: the root is the rarest node. */
  readonly #heap = new Int32Array(MAX_NODES + 1);
  #heapSize = 0;
  /** All nodes in the order in which they left the heap. */
  readonly #sorted = new Int32Array(MAX_NODES);
  readonly #lengthCounts = new Int32Array(17);

  /** Sets the code lengths, at most `maxLength`, of symbols with these frequencies. */
  codeLengths(symbols: Int32Array, maxLength: number, lengths: Uint8Array): void {
    const sortedCount = this.#build(symbols);
    const excess = this.#measure(symbols.length, { maxLength, sortedCount });
    if (excess > 0) this.#shorten(symbols.length, { maxLength, sortedCount, excess });
    for (let symbol = 0; symbol < symbols.length; symbol++) {
      lengths[symbol] = this.#frequencies[symbol] === 0 ? 0 : this.#nodeLengths[symbol]!;
    }
  }

  // The two rarest nodes become one, until one is left. Returns the number of nodes.
  #build(symbols: Int32Array): number {
    const [frequencies, depths, heap, sorted] = [this.#frequencies, this.#depths, this.#heap, this.#sorted];
    frequencies.set(symbols);
    depths.fill(0);
    this.#heapSize = 0;
    let largest = -1;
    for (let symbol = 0; symbol < symbols.length; symbol++) {
      if (symbols[symbol] !== 0) heap[++this.#heapSize] = largest = symbol;
    }
    // At least two codes are in use: pkzip wants at least one distance code.
    while (this.#heapSize < 2) {
      const symbol = heap[++this.#heapSize] = largest < 2 ? ++largest : 0;
      frequencies[symbol] = 1;
    }
    for (let index = this.#heapSize >> 1; index >= 1; index--) this.#siftDown(index);
    let [node, sortedCount] = [symbols.length, 0];
    do {
      const rarest = heap[1]!;
      heap[1] = heap[this.#heapSize--]!;
      this.#siftDown(1);
      const second = heap[1]!;
      sorted[sortedCount++] = rarest;
      sorted[sortedCount++] = second;
      frequencies[node] = frequencies[rarest]! + frequencies[second]!;
      depths[node] = Math.max(depths[rarest]!, depths[second]!) + 1;
      this.#parents[rarest] = this.#parents[second] = node;
      heap[1] = node++;
      this.#siftDown(1);
    } while (this.#heapSize >= 2);
    sorted[sortedCount++] = heap[1]!;
    return sortedCount;
  }

  #siftDown(from: number): void {
    const heap = this.#heap;
    const node = heap[from]!;
    let at = from;
    for (let child = at << 1; child <= this.#heapSize; child <<= 1) {
      if (child < this.#heapSize && this.#isRarer(heap[child + 1]!, heap[child]!)) child++;
      if (this.#isRarer(node, heap[child]!)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = node;
  }

  #isRarer(a: number, b: number): boolean {
    const difference = this.#frequencies[a]! - this.#frequencies[b]!;
    return difference < 0 || difference === 0 && this.#depths[a]! <= this.#depths[b]!;
  }

  // Sets the length of every node, cut at the maximum. Returns how many were cut.
  #measure(symbolCount: number, { maxLength, sortedCount }: { maxLength: number; sortedCount: number }): number {
    const [sorted, counts, lengths] = [this.#sorted, this.#lengthCounts, this.#nodeLengths];
    counts.fill(0);
    let excess = 0;
    lengths[sorted[sortedCount - 1]!] = 0;
    for (let index = sortedCount - 2; index >= 0; index--) {
      const node = sorted[index]!;
      let length = lengths[this.#parents[node]!]! + 1;
      if (length > maxLength) {
        length = maxLength;
        excess++;
      }
      lengths[node] = length;
      if (node < symbolCount) counts[length]!++;
    }
    return excess;
  }

  // Moves codes until the tree fits, then gives the lengths out anew, the longest to the rarest symbols.
  #shorten(
    symbolCount: number,
    { maxLength, sortedCount, excess }: { maxLength: number; sortedCount: number; excess: number },
  ): void {
    const counts = this.#lengthCounts;
    for (let left = excess; left > 0; left -= 2) {
      let length = maxLength - 1;
      while (counts[length] === 0) length--;
      counts[length]!--;
      counts[length + 1]! += 2;
      counts[maxLength]!--;
    }
    let index = 0;
    for (let length = maxLength; length > 0; length--) {
      for (let left = counts[length]!; left > 0 && index < sortedCount;) {
        const node = this.#sorted[index++]!;
        if (node >= symbolCount) continue;
        this.#nodeLengths[node] = length;
        left--;
      }
    }
  }
}
