import type { ListOptions } from "./source.ts";

/**
 * Returns a part of a list.
 *
 * @param sorted the entries sorted by code unit, which is also the order that `after` refers to
 * @param exists tells the entries that count; called only for those that may be in the part, and one more
 */
export function takePage(
  sorted: readonly string[],
  { after, limit = Infinity }: ListOptions,
  exists: (entry: string) => boolean = () => true,
): { entries: string[]; isMore: boolean } {
  const entries: string[] = [];
  for (const entry of sorted) {
    if (after !== undefined && entry <= after || !exists(entry)) continue;
    if (entries.length >= limit) return { entries, isMore: true };
    entries.push(entry);
  }
  return { entries, isMore: false };
}
