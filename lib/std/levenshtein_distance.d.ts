/** The part of `@std/text/levenshtein-distance` that crpe uses. */
export function levenshteinDistance(str1: string, str2: string): number;
