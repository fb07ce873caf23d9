const MAX_SHOWN = 5;
// Longer tags are compared by their first characters, as many as a number has bits for `createEditCounter`.
const MAX_COMPARED = 32;

/** Returns the tags that are the most similar to a missing one, at most 5; none that have little in common with it. */
export function findSimilarTags(tag: string, tags: readonly string[]): string[] {
  const wanted = tag.slice(0, MAX_COMPARED).toLowerCase();
  const countEdits = createEditCounter(wanted);
  return tags
    .map((candidate) => {
      const distance = countEdits(candidate.slice(0, MAX_COMPARED).toLowerCase());
      return { candidate, distance };
    })
    .filter(({ candidate, distance }) => distance <= Math.max(wanted.length, Math.min(candidate.length, 20)) / 2)
    .sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, MAX_SHOWN)
    .map(({ candidate }) => candidate);
}

/**
 * Creates a function that returns the Levenshtein distance from `a`: how many characters must be inserted, removed or
 * replaced. A client can make crpe compare a thousand tags with each request, so a whole column of the usual table is
 * computed at once, with a bit for each character of `a` (Myers 1999, as simplified by Hyyrö 2003).
 *
 * @param a 1 to 32 characters
 */
function createEditCounter(a: string): (b: string) => number {
  // By code unit; tags are ASCII.
  const positions = new Int32Array(128);
  for (let i = 0; i < a.length; i++) {
    const code = a.charCodeAt(i);
    if (code < positions.length) positions[code]! |= 1 << i;
  }
  const last = 1 << (a.length - 1);
  return (b) => {
    let distance = a.length;
    // Where the column rises and falls by one from a row to the next.
    let rises = -1;
    let falls = 0;
    for (let j = 0; j < b.length; j++) {
      const equal = positions[b.charCodeAt(j)] ?? 0;
      const isSame = (((equal & rises) + rises) ^ rises) | equal | falls;
      // Where a row rises and falls by one from the last column to this one.
      const rowRises = falls | ~(isSame | rises);
      const rowFalls = rises & isSame;
      if ((rowRises & last) !== 0) distance++;
      if ((rowFalls & last) !== 0) distance--;
      const shifted = rowRises << 1 | 1;
      rises = rowFalls << 1 | ~(isSame | shifted);
      falls = shifted & isSame;
    }
    return distance;
  };
}
