import type { TagPage, TagQuery } from "./source.ts";

/** Selects a page of a complete list of tags, which is sorted by code unit. */
export function pageOfTags(sorted: readonly string[], { after, limit = Infinity }: TagQuery = {}): TagPage {
  const start = after === undefined ? 0 : firstAfter(sorted, after);
  return { tags: sorted.slice(start, start + limit), isMore: start + limit < sorted.length };
}

// Binary search for the first tag after `after`.
function firstAfter(sorted: readonly string[], after: string): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= after) low = middle + 1;
    else high = middle;
  }
  return low;
}
