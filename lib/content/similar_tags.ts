// @ts-types="../std/levenshtein_distance.d.ts"
import { levenshteinDistance } from "@std/text/levenshtein-distance";

const MAX_SHOWN = 5;
// A client can make crpe compare a thousand tags with each request, so longer tags are compared by their first characters:
// up to 32, the library compares a pair in a microsecond.
const MAX_COMPARED = 32;

/** Returns the tags that are the most similar to a missing one, at most 5; none that have little in common with it. */
export function findSimilarTags(tag: string, tags: readonly string[]): string[] {
  const wanted = tag.slice(0, MAX_COMPARED).toLowerCase();
  return tags
    .map((candidate) => {
      const distance = levenshteinDistance(wanted, candidate.slice(0, MAX_COMPARED).toLowerCase());
      return { candidate, distance };
    })
    .filter(({ candidate, distance }) => distance <= Math.max(wanted.length, Math.min(candidate.length, 20)) / 2)
    .sort((a, b) => a.distance - b.distance || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, MAX_SHOWN)
    .map(({ candidate }) => candidate);
}
