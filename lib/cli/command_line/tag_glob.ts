import { cannot, UsageError } from "../../oci/error.ts";

const GLOB = /^[A-Za-z0-9._*?-]+$/;

/**
 * Parses a pattern of tags: `*` is any text, `?` is any character.
 *
 * @returns a function that tells whether the pattern is that of a whole tag
 * @throws {UsageError} when the text has a character that no tag has
 */
export function parseTagGlob(text: string): (tag: string) => boolean {
  if (GLOB.test(text)) return (tag) => matches(text, tag);
  throw new UsageError(
    cannot(
      `use --tags ${JSON.stringify(text)}`,
      'write a pattern of tags such as "1.27*": * is any text, ? any character',
    ),
  );
}

// Only the last `*` is ever tried again with a longer text, so the cost is the product of both lengths at most.
function matches(glob: string, tag: string): boolean {
  let [at, from] = [0, 0];
  let star: { readonly at: number; from: number } | undefined;
  while (from < tag.length) {
    if (glob[at] === "*") star = { at: at++, from };
    else if (glob[at] === "?" || glob[at] === tag[from]) [at, from] = [at + 1, from + 1];
    else if (star === undefined) return false;
    else [at, from] = [star.at + 1, ++star.from];
  }
  while (glob[at] === "*") at++;
  return at === glob.length;
}
