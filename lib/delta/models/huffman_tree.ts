import { goCodeLengths } from "./go_headers.ts";

const MOST_SYMBOLS = 288;
const NEVER = Number.MAX_SAFE_INTEGER;

/** Which of two nodes of equal frequency is joined first: it decides between several optimal codes. */
type TieRule =
  /** An inner node: this gives the code lengths of Go's package-merge algorithm where these need no limit. */
  | "node"
  /** A symbol: the lengths vary less. */
  | "symbol";

/**
 * Sets the code lengths of symbols with these frequencies by Huffman's algorithm. Where one exceeds `maxLength`, all
 * are those of the package-merge algorithm instead. One or two symbols get one bit.
 */
export class HuffmanTree {
  readonly #ties: TieRule;
  // The symbols in use, the rarest first: frequency * 512 + symbol.
  readonly #sorted = new Float64Array(MOST_SYMBOLS);
  readonly #weights = new Float64Array(MOST_SYMBOLS);
  readonly #parents = new Uint16Array(2 * MOST_SYMBOLS);
  readonly #depths = new Uint16Array(2 * MOST_SYMBOLS);
  readonly #counts = new Uint16Array(MOST_SYMBOLS);

  constructor(ties: TieRule) {
    this.#ties = ties;
  }

  /** Sets the first elements of `lengths`, one for each frequency. */
  setLengths(frequencies: Int32Array, maxLength: number, lengths: Uint8Array): void {
    lengths.fill(0, 0, frequencies.length);
    const sorted = this.#sorted;
    const count = this.#sort(frequencies);
    if (count <= 2) {
      for (let i = 0; i < count; i++) lengths[sorted[i]! % 512] = 1;
      return;
    }
    this.#join(count);
    if (this.#countDepths(count) > maxLength) return goCodeLengths(frequencies, maxLength, lengths);
    // The rarest symbols get the longest codes.
    let end = count;
    for (let length = 1; end > 0; length++) {
      for (const start = end - this.#counts[length]!; end > start;) lengths[sorted[--end]! % 512] = length;
    }
  }

  #sort(frequencies: Int32Array): number {
    let count = 0;
    for (let symbol = 0; symbol < frequencies.length; symbol++) {
      if (frequencies[symbol]! > 0) this.#sorted[count++] = frequencies[symbol]! * 512 + symbol;
    }
    this.#sorted.subarray(0, count).sort();
    return count;
  }

  // Joins the two lightest nodes again and again. Inner nodes come to be in the order of their weight.
  #join(count: number): void {
    const [sorted, weights, parents] = [this.#sorted, this.#weights, this.#parents];
    const symbolsFirst = this.#ties === "symbol";
    let [symbol, node] = [0, 0];
    for (let inner = 0; inner < count - 1; inner++) {
      weights[inner] = 0;
      for (let child = 0; child < 2; child++) {
        const weight = symbol < count ? Math.floor(sorted[symbol]! / 512) : NEVER;
        const nodeWeight = node < inner ? weights[node]! : NEVER;
        if (weight < nodeWeight || (symbolsFirst && weight === nodeWeight)) {
          weights[inner]! += weight;
          parents[symbol++] = count + inner;
        } else {
          weights[inner]! += nodeWeight;
          parents[count + node++] = count + inner;
        }
      }
    }
  }

  // Counts the symbols at each depth. @returns the greatest depth
  #countDepths(count: number): number {
    const [parents, depths] = [this.#parents, this.#depths];
    const root = 2 * count - 2;
    let greatest = 0;
    depths[root] = 0;
    this.#counts.fill(0);
    for (let i = root - 1; i >= 0; i--) {
      depths[i] = depths[parents[i]!]! + 1;
      if (i >= count) continue;
      this.#counts[depths[i]!]!++;
      greatest = Math.max(greatest, depths[i]!);
    }
    return greatest;
  }
}
