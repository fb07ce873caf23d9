import type { ListOptions } from "../../../lib/content/source.ts";
import { takePage } from "../../../lib/content/take_page.ts";
import { assertEquals } from "../../support/assert.ts";

const LIST = ["A", "a", "b", "c"];

const pages: [string, ListOptions, string[], boolean][] = [
  ["all entries without a limit", {}, LIST, false],
  ["the first page", { limit: 2 }, ["A", "a"], true],
  ["the page after an entry", { limit: 2, after: "a" }, ["b", "c"], false],
  ["the page after an entry that does not exist", { limit: 1, after: "aa" }, ["b"], true],
  ["an empty page after the last entry", { limit: 5, after: "c" }, [], false],
  ["an empty page and more to come for a limit of 0", { limit: 0 }, [], true],
  ["all entries for a limit equal to their number", { limit: 4 }, LIST, false],
  ["all entries for a larger limit", { limit: Number.MAX_SAFE_INTEGER }, LIST, false],
  ["all entries after an entry, without a limit", { after: "a" }, ["b", "c"], false],
  ["all entries after an empty last", { after: "" }, LIST, false],
];

for (const [what, page, entries, isMore] of pages) {
  Deno.test(`takePage() returns ${what}`, () => assertEquals(takePage(LIST, page), { entries, isMore }));
}

Deno.test("takePage() returns every entry once over all pages", () => {
  const seen: string[] = [];
  let after: string | undefined;
  for (let isMore = true; isMore;) {
    const page = takePage(LIST, { limit: 1, after });
    seen.push(...page.entries);
    after = page.entries.at(-1);
    isMore = page.isMore;
  }
  assertEquals(seen, LIST);
});

Deno.test("[73] takePage() checks only the entries that may be on the page, and one more", () => {
  const checked: string[] = [];
  const exists = (entry: string) => {
    checked.push(entry);
    return entry !== "b";
  };
  assertEquals(takePage(["a", "b", "c", "d", "e", "f"], { after: "a", limit: 2 }, exists), {
    entries: ["c", "d"],
    isMore: true,
  });
  assertEquals(checked, ["b", "c", "d", "e"]);
});
