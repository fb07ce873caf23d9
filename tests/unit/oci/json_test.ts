import { CorruptError } from "../../../lib/oci/error.ts";
import { isJsonObject, parseJson } from "../../../lib/oci/json.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const encode = (text: string) => new TextEncoder().encode(text);

const good: [string, unknown][] = [
  ['{"a":[1,"x",null,true]}', { a: [1, "x", null, true] }],
  ['"[[[[[[[[[[["', "[[[[[[[[[[["],
  [String.raw`"\"[{\\"`, '"[{\\'],
  [String.raw`{"a\\":"]","b":[]}`, { "a\\": "]", b: [] }],
  [" 1 ", 1],
  ['["__proto__","\\u005f_proto__"]', ["__proto__", "__proto__"]],
  [String.raw`{"x__proto__":"\"__proto__\":"}`, { x__proto__: '"__proto__":' }],
  ['{"constructor":1,"prototype":2}', { constructor: 1, prototype: 2 }],
];
for (const [text, value] of good) {
  Deno.test(`parseJson() parses ${text}`, () => {
    assertEquals(parseJson(encode(text), "x", { maxBytes: 1000, maxDepth: 3 }), value);
  });
}

const nested = (depth: number) => encode("[".repeat(depth) + "]".repeat(depth));
const wrong: [string, Uint8Array, string][] = [
  ["an empty document", encode(""), "as JSON: it ends too early"],
  ["a truncated document [51]", encode('{"a":[1,'), "as JSON"],
  ["two documents", encode("{}{}"), "as JSON: it is not valid at line 1, column 3"],
  ["10,000 levels [51]", nested(10_000), "nested deeper than 128"],
  ["10,000 levels that are never closed [51]", encode('{"a":'.repeat(10_000)), "nested deeper than 128"],
  ["__proto__ [51]", encode('{"a":{"__proto__":{"x":1}}}'), "__proto__"],
  ["__proto__ written with an escape [51]", encode(String.raw`{"\u005f_proto__":1}`), "__proto__"],
  ["__proto__ that is wholly escaped [51]", encode(`{"${"\\u005f\\u005fproto\\u005f\\u005f"}" : 1}`), "__proto__"],
  ["__proto__ in front of an error [51]", encode('{"__proto__":1'), "as JSON: it is not valid at line 1, column 15"],
  ["a byte order mark [51]", encode("\ufeff{}"), "it begins with a byte order mark"],
  ["invalid UTF-8", new Uint8Array([0x22, 0xff, 0x22]), "as JSON: it is not UTF-8"],
  ["more bytes than allowed [51]", new Uint8Array(4 * 1024 * 1024 + 1), "4194304 are allowed"],
];
for (const [what, bytes, message] of wrong) {
  Deno.test(`parseJson() rejects ${what}`, () => {
    assertThrows(() => parseJson(bytes, "the thing"), CorruptError, message);
  });
}

Deno.test("parseJson() accepts a document exactly at its limits of depth and size", () => {
  parseJson(nested(5), "x", { maxBytes: 10, maxDepth: 5 });
  assertThrows(() => parseJson(nested(6), "x", { maxBytes: 100, maxDepth: 5 }), CorruptError, "deeper");
  assertThrows(() => parseJson(nested(5), "x", { maxBytes: 9, maxDepth: 5 }), CorruptError, "9 are allowed");
});

for (const text of ["[1,2,3]", '{"a":1,"b":2,"c":3}', "[[],[]]", '[{"a":[]}]', '"[,,,,,"', "[1, 2]"]) {
  Deno.test(`[89] parseJson() counts at least the values of ${text}`, () => {
    const count = (value: unknown): number =>
      1 + (typeof value === "object" ? Object.values(value!).reduce((sum, it) => sum + count(it), 0) : 0);
    const least = count(JSON.parse(text));
    const parse = (maxValues: number) => parseJson(encode(text), "x", { maxBytes: 100, maxDepth: 9, maxValues });
    assertThrows(() => parse(least - 1), CorruptError, "values");
    parse(least * 2 + 1);
  });
}

Deno.test("isJsonObject() rejects null and arrays", () => {
  assertEquals([{}, null, [], "x", 1, undefined].map(isJsonObject), [true, false, false, false, false, false]);
});

for (const text of ['{"auths":{"up.test":{"auth":s3cret}}}', '{"password":"s3cret" x}', '{"a":"s3cret']) {
  Deno.test(`parseJson() does not quote invalid content in its error message: ${text}`, () => {
    const error = assertThrows(() => parseJson(new TextEncoder().encode(text), "the file"), CorruptError);
    assertEquals(error.message.includes("s3cret"), false, error.message);
  });
}
