import { RegistryError } from "../../../lib/oci/error.ts";
import { formatNextLink, type Page, parsePage, takePage } from "../../../lib/registry/paging.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const LIST = ["A", "a", "b", "c"];

const pages: [string, Page, string[], boolean][] = [
  ["all entries without a limit", {}, LIST, false],
  ["the first page", { n: 2 }, ["A", "a"], true],
  ["the page after an entry", { n: 2, last: "a" }, ["b", "c"], false],
  ["the page after an entry that does not exist", { n: 1, last: "aa" }, ["b"], true],
  ["an empty page after the last entry", { n: 5, last: "c" }, [], false],
  ["an empty page and no next page for n=0", { n: 0 }, [], false],
  ["all entries for a limit equal to their number", { n: 4 }, LIST, false],
  ["all entries for a larger limit", { n: Number.MAX_SAFE_INTEGER }, LIST, false],
  ["all entries after an entry, without a limit", { last: "a" }, ["b", "c"], false],
  ["all entries after an empty last", { last: "" }, LIST, false],
];

for (const [what, page, entries, isMore] of pages) {
  Deno.test(`takePage() returns ${what}`, () => assertEquals(takePage(LIST, page), { entries, isMore }));
}

Deno.test("takePage() returns every entry once over all pages", () => {
  const seen: string[] = [];
  let last: string | undefined;
  for (let isMore = true; isMore;) {
    const page = takePage(LIST, { n: 1, ...(last === undefined ? {} : { last }) });
    seen.push(...page.entries);
    last = page.entries.at(-1);
    isMore = page.isMore;
  }
  assertEquals(seen, LIST);
});

Deno.test("parsePage() parses the parameters that are present", () => {
  assertEquals(parsePage({}), {});
  assertEquals(parsePage({ n: "10", last: "x" }), { n: 10, last: "x" });
  assertEquals(parsePage({ n: "9".repeat(400) }), { n: Number.MAX_SAFE_INTEGER });
});

for (const n of ["", "-1", "abc", "1.5", "1e3", " 1", "0x10", "+1"]) {
  Deno.test(`parsePage() rejects n=${JSON.stringify(n)}`, () => {
    const error = assertThrows(() => parsePage({ n }), RegistryError);
    assertEquals([error.code, error.status], ["PAGINATION_NUMBER_INVALID", 400]);
  });
}

Deno.test("formatNextLink() keeps the path and the other parameters", () => {
  assertEquals(
    formatNextLink("http://h:6060/mirrors/quay.io/v2/a/tags/list?ns=reg%3A1&last=a&n=1", 1, "b/c"),
    '</mirrors/quay.io/v2/a/tags/list?ns=reg%3A1&last=b%2Fc&n=1>; rel="next"',
  );
  assertEquals(formatNextLink("http://h/v2/_catalog?n=2", 2, "x"), '</v2/_catalog?n=2&last=x>; rel="next"');
});
