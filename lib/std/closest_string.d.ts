/** The part of `@std/text/closest-string` that crpe uses. */
export function closestString(givenWord: string, possibleWords: readonly string[]): string;
