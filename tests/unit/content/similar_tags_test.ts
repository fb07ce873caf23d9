import { cpuUsage } from "node:process";
import { findSimilarTags } from "../../../lib/content/similar_tags.ts";
import { assertEquals } from "../../support/assert.ts";

const similar: [string, string, string[], string[]][] = [
  ["a typing error", "lates", ["1.0", "latest", "edge"], ["latest"]],
  ["the nearest versions first", "1.27.4", ["1.27.3", "1.26.0", "stable", "1.27"], ["1.27.3", "1.26.0", "1.27"]],
  ["another case", "V1", ["v1", "x"], ["v1"]],
  ["at most five", "1.0", ["1.1", "1.2", "1.3", "1.4", "1.5", "1.6"], ["1.1", "1.2", "1.3", "1.4", "1.5"]],
  ["none that have little in common", "release", ["1.0", "2.0"], []],
  ["none without tags", "1.0", [], []],
  ["tags that differ after 32 characters", "x".repeat(32) + "1", ["x".repeat(32) + "2", "y".repeat(32)], [
    "x".repeat(32) + "2",
  ]],
];
for (const [what, tag, tags, expected] of similar) {
  Deno.test(`findSimilarTags() gives ${what}`, () => assertEquals(findSimilarTags(tag, tags), expected));
}

/** The Levenshtein distance as it is defined. */
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

Deno.test("findSimilarTags() orders tags by their Levenshtein distance, then by name", () => {
  let seed = 1;
  const random = (limit: number) => (seed = seed * 48271 % 2147483647) % limit;
  const makeTag = () => Array.from({ length: 1 + random(32) }, () => "01.-ab"[random(6)]).join("");
  for (let i = 0; i < 500; i++) {
    const tag = makeTag();
    const tags = [...new Set(Array.from({ length: 20 }, makeTag))];
    const expected = tags.map((name) => ({ name, edits: countEdits(tag, name) }))
      .filter(({ name, edits }) => edits <= Math.max(tag.length, Math.min(name.length, 20)) / 2)
      .sort((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1));
    assertEquals(findSimilarTags(tag, tags), expected.slice(0, 5).map(({ name }) => name));
  }
});

const costs: [string, (i: number) => string][] = [
  ["long tags that are all different", (i) => `${i}`.padEnd(128, "ab-")],
  ["long tags that are all similar", (i) => `v1.5-${"x".repeat(40)}${i}`],
];
for (const [what, tagOf] of costs) {
  Deno.test(`[89] findSimilarTags() compares 100 tags with 1000 others in under 0.6 CPU seconds: ${what}`, () => {
    const tags = Array.from({ length: 1000 }, (_, i) => tagOf(i));
    const before = cpuUsage();
    for (let i = 0; i < 100; i++) findSimilarTags(`v1.6-${"x".repeat(40)}${i}`, tags);
    const { user, system } = cpuUsage(before);
    assertEquals((user + system) / 1e6 < 0.6, true, `${(user + system) / 1e6} CPU seconds`);
  });
}
