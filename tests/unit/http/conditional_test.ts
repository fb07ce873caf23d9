import { allowsRange, matchesEtag } from "../../../lib/http/conditional.ts";
import { assertEquals } from "../../support/assert.ts";

const DIGEST = `sha256:${"a".repeat(64)}` as const;
const OTHER = `sha256:${"b".repeat(64)}` as const;

const etags: [string, string | null, boolean][] = [
  ["no header", null, false],
  ["the digest, quoted", `"${DIGEST}"`, true],
  ["the digest, bare", DIGEST, true],
  ["the digest, weak", `W/"${DIGEST}"`, true],
  ["an asterisk", "*", true],
  ["a list that contains the digest", `"${OTHER}", W/"${DIGEST}"`, true],
  ["a list without spaces", `"${OTHER}","${DIGEST}"`, true],
  ["a list without the digest", `"${OTHER}", "x"`, false],
  ["another digest", `"${OTHER}"`, false],
  ["a prefix of the digest", `"${DIGEST.slice(0, -1)}"`, false],
  ["an empty header", "", false],
  ["a digest with one quote", `"${DIGEST}`, false],
  ["a quoted asterisk", '"*"', false],
];
for (const [what, header, expected] of etags) {
  Deno.test(`matchesEtag() ${expected ? "matches" : "does not match"} ${what}`, () => {
    assertEquals(matchesEtag(header, DIGEST), expected);
  });
}

const ifRanges: [string, string | null, boolean][] = [
  ["no header", null, true],
  ["the entity tag", `"${DIGEST}"`, true],
  ["a weak tag", `W/"${DIGEST}"`, false],
  ["another tag", `"${OTHER}"`, false],
  ["a date", "Sun, 06 Nov 1994 08:49:37 GMT", false],
];
for (const [what, header, expected] of ifRanges) {
  Deno.test(`allowsRange() ${expected ? "allows" : "does not allow"} a range with ${what}`, () => {
    assertEquals(allowsRange(header, DIGEST), expected);
  });
}
