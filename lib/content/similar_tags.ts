const MAX_SHOWN = 5;
// Longer tags are compared by their first characters.
const MAX_COMPARED = 40;

/** Returns the tags that are the most similar to a missing one, at most 5; none that have little in common with it. */
export function findSimilarTags(tag: string, tags: readonly string[]): string[] {
  const wanted = tag.slice(0, MAX_COMPARED).toLowerCase();
  return tags
    .map((candidate) => {
      const distance = countEdits(wanted, candidate.slice(0, MAX_COMPARED).toLowerCase());
      return { candidate, distance };
    })
    .filter(({ candidate, distance }) => distance <= Math.max(wanted.length, Math.min(candidate.length, 20)) / 2)
    .sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, MAX_SHOWN)
    .map(({ candidate }) => candidate);
}

/** Returns the Levenshtein distance: how many characters must be inserted, removed or replaced. */
function countEdits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
