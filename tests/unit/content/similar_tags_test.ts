import { findSimilarTags } from "../../../lib/content/similar_tags.ts";
import { assertEquals } from "../../support/assert.ts";

const similar: [string, string, string[], string[]][] = [
  ["a typing error", "lates", ["1.0", "latest", "edge"], ["latest"]],
  ["the nearest versions first", "1.27.4", ["1.27.3", "1.26.0", "stable", "1.27"], ["1.27.3", "1.26.0", "1.27"]],
  ["another case", "V1", ["v1", "x"], ["v1"]],
  ["at most five", "1.0", ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"], ["1.1", "1.2", "1.3", "1.4", "1.5"]],
  ["none that have little in common", "release", ["1.0", "2.0"], []],
  ["none without tags", "1.0", [], []],
];
for (const [what, tag, tags, expected] of similar) {
  Deno.test(`findSimilarTags() gives ${what}`, () => assertEquals(findSimilarTags(tag, tags), expected));
}
