import { RegistryError } from "../../../lib/oci/error.ts";
import { formatNextLink, parsePage } from "../../../lib/registry/paging.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

Deno.test("parsePage() parses the parameters that are present", () => {
  assertEquals(parsePage({}), {});
  assertEquals(parsePage({ n: "10", last: "x" }), { limit: 10, after: "x" });
  assertEquals(parsePage({ n: "9".repeat(400) }), { limit: Number.MAX_SAFE_INTEGER });
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
