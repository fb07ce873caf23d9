import { DISTANCE_CODES, distanceCode, END_OF_BLOCK, LENGTH_CODE, LITERAL_CODES } from "../deflate_tables.ts";
import type { BlockTokens, DynamicHeader } from "./model.ts";

/** How often each code is used in a block. The object is reused. */
export class Frequencies {
  readonly literals = new Int32Array(LITERAL_CODES);
  readonly distances = new Int32Array(DISTANCE_CODES);

  /** Counts the codes of the first `count` tokens, and one end of the block. */
  count({ tokens, count }: Pick<BlockTokens, "tokens" | "count">): void {
    const { literals, distances } = this;
    literals.fill(0);
    distances.fill(0);
    literals[END_OF_BLOCK] = 1;
    for (let index = 0; index < count; index++) {
      const token = tokens[index]!;
      if (token < 256) {
        literals[token]!++;
      } else {
        literals[257 + LENGTH_CODE[token >>> 16]!]!++;
        distances[distanceCode(token & 0xffff)]!++;
      }
    }
  }

  /** Sets how many codes a header has that leaves out unused ones at the end. */
  setCodeCounts(header: DynamicHeader): void {
    const { literals, distances } = this;
    let [literalCount, distanceCount] = [literals.length, distances.length];
    while (literals[literalCount - 1] === 0) literalCount--;
    while (distanceCount > 0 && distances[distanceCount - 1] === 0) distanceCount--;
    // Without any match one distance code is counted, because a header needs one.
    if (distanceCount === 0) distances[0] = distanceCount = 1;
    [header.literalCount, header.distanceCount] = [literalCount, distanceCount];
  }
}

/** Counts the run-length symbols of a header. */
export function countRuns({ runs, runCount }: DynamicHeader, frequencies: Int32Array): void {
  frequencies.fill(0);
  for (let index = 0; index < runCount; index++) {
    const symbol = runs[index]!;
    frequencies[symbol]!++;
    if (symbol >= 16) index++;
  }
}

/**
 * Writes the run-length coding that zlib and Go share: a length is written once, then repeated in runs of at most 6;
 * zeros are written in runs of at most 138. Runs of less than 3 are written one by one.
 *
 * @param border no run crosses it: zlib writes the lengths of the literals and of the distances separately
 */
export function writeRuns(header: DynamicHeader, border: number): void {
  const { lengths, runs } = header;
  const total = header.literalCount + header.distanceCount;
  let runCount = 0;
  for (let index = 0; index < total;) {
    const length = lengths[index]!;
    const limit = index < border ? border : total;
    let end = index + 1;
    while (end < limit && lengths[end] === length) end++;
    let left = end - index;
    index = end;
    if (length === 0) {
      for (; left >= 11; left -= runs[runCount - 1]! + 11) {
        runs[runCount++] = 18;
        runs[runCount++] = Math.min(138, left) - 11;
      }
      if (left >= 3) {
        runs[runCount++] = 17;
        runs[runCount++] = left - 3;
        left = 0;
      }
    } else {
      runs[runCount++] = length;
      for (left--; left >= 3; left -= runs[runCount - 1]! + 3) {
        runs[runCount++] = 16;
        runs[runCount++] = Math.min(6, left) - 3;
      }
    }
    for (; left > 0; left--) runs[runCount++] = length;
  }
  header.runCount = runCount;
}
