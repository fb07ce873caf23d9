import { RegistryError } from "../../../lib/oci/error.ts";
import { formatNextLink, type Page, parsePage, takePage } from "../../../lib/registry/paging.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const LIST = ["A", "a", "b", "c"];

const pages: [string, Page, string[], boolean][] = [
  ["all without a limit", {}, LIST, false],
  ["the first page", { n: 2 }, ["A", "a"], true],
  ["the page after an entry", { n: 2, last: "a" }, ["b", "c"], false],
  ["the page after what does not exist", { n: 1, last: "aa" }, ["b"], true],
  ["nothing after the last", { n: 5, last: "c" }, [], false],
  ["nothing and no next page for n=0", { n: 0 }, [], false],
  ["all for a limit of exactly as many", { n: 4 }, LIST, false],
  ["all for a limit beyond", { n: Number.MAX_SAFE_INTEGER }, LIST, false],
  ["what follows without a limit", { last: "a" }, ["b", "c"], false],
  ["all after an empty last", { last: "" }, LIST, false],
];

for (const [what, page, entries, isMore] of pages) {
  Deno.test(`takePage() gives ${what}`, () => assertEquals(takePage(LIST, page), { entries, isMore }));
}

Deno.test("takePage() reaches every entry once by following the pages", () => {
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

Deno.test("parsePage() takes what is there", () => {
  assertEquals(parsePage({}), {});
  assertEquals(parsePage({ n: "10", last: "x" }), { n: 10, last: "x" });
  assertEquals(parsePage({ n: "9".repeat(400) }), { n: Number.MAX_SAFE_INTEGER });
});

for (const n of ["", "-1", "abc", "1.5", "1e3", " 1", "0x10", "+1"]) {
  Deno.test(`parsePage() refuses n=${JSON.stringify(n)}`, () => {
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
