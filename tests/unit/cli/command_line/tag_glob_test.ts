import { parseTagGlob } from "../../../../lib/cli/command_line/tag_glob.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

const TAGS = ["1.27", "1.27-alpine", "1.27.1", "1.271", "latest", "v1", "v12", "aaaa"];

for (
  const [glob, expected] of [
    ["latest", ["latest"]],
    ["late", []],
    ["1.27*", ["1.27", "1.27-alpine", "1.27.1", "1.271"]],
    ["1.27.*", ["1.27.1"]],
    ["v?", ["v1"]],
    ["v??", ["v12"]],
    ["*", TAGS],
    ["***", TAGS],
    ["*-*", ["1.27-alpine"]],
    ["*a*a*a*", ["aaaa"]],
    ["?a*t", ["latest"]],
    ["*1", ["1.27.1", "1.271", "v1"]],
  ] as const
) {
  Deno.test(`parseTagGlob() of ${glob} matches ${expected.length} tags`, () => {
    assertEquals(TAGS.filter(parseTagGlob(glob)), [...expected]);
  });
}

Deno.test("parseTagGlob() of many stars costs no more than the product of the lengths", () => {
  assertEquals(parseTagGlob("*a".repeat(60) + "b")("a".repeat(128)), false);
});

for (const glob of ["", "1.[27]", "{a,b}", "a b", "a/b", "^1"]) {
  Deno.test(`parseTagGlob() refuses ${JSON.stringify(glob)}`, () => {
    assertThrows(() => parseTagGlob(glob), UsageError, "write a pattern of tags");
  });
}
