import type { ReadableBytes } from "../bytes/scratch.ts";
import type { BaseRange } from "./tar_diff.ts";

/** Some ranges of bytes, one after the other, as if nothing was between them. */
export function selectRanges(bytes: ReadableBytes, ranges: readonly BaseRange[]): ReadableBytes {
  /** The position behind each range, without what is between them. */
  const ends: number[] = [];
  let size = 0;
  for (const { start, end } of ranges) ends.push(size += end - start);
  return {
    size,
    readAt: (position, target) => {
      let filled = 0;
      for (let i = findRange(ends, position); i < ranges.length && filled < target.length; i++) {
        const { end } = ranges[i]!;
        const from = end - (ends[i]! - position - filled);
        const length = Math.min(end - from, target.length - filled);
        filled += bytes.readAt(from, target.subarray(filled, filled + length));
      }
      return filled;
    },
  };
}

// The first range that ends behind a position.
function findRange(ends: readonly number[], position: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ends[middle]! <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
