import { parseYaml, parseYamlDocuments } from "../../../lib/kubepkg/read_yaml.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { GO_YAML_ROWS } from "./go_yaml_rows.ts";

const LIMITS = { maxBytes: 1_000_000, maxDepth: 100 };
const encoder = new TextEncoder();
const read = (text: string) => parseYaml(encoder.encode(text), "a.yaml", LIMITS);

for (const [text, json] of GO_YAML_ROWS) {
  Deno.test(`[84] parseYaml() ${json === undefined ? "refuses" : "reads as go-yaml does"} ${JSON.stringify(text)}`, () => {
    if (json === undefined) assertThrows(() => read(text), CorruptError);
    else assertEquals(JSON.parse(JSON.stringify(read(text))), JSON.parse(json));
  });
}

const OVER_1024 = "a".repeat(1100);
const OTHERWISE: readonly [string, string, unknown][] = [
  ["go-yaml refuses a key of over 1,024 characters without ?", `${OVER_1024}: b`, { [OVER_1024]: "b" }],
  ["go-yaml refuses every escaped surrogate", '"\\ud83d\\ude00"', "\u{1f600}"],
  ["go-yaml refuses YAML 1.2 by name", "%YAML 1.2\n---\na: b", { a: "b" }],
  ["go-yaml refuses JSON's escape of a slash", '"\\/"', "/"],
  ["go-yaml takes U+2028 for a line break", "a: x\u2028y", { a: "x\u2028y" }],
];
for (const [title, text, value] of OTHERWISE) {
  Deno.test(`[84] parseYaml() is more lenient where ${title}`, () => assertEquals(read(text), value));
}

const REFUSED: readonly [string, string, string][] = [
  ["an integer that a double does not hold", "a: {b: [0, 9007199254740993]}", "a.b[1]: the number 9007199254740993"],
  ["a hexadecimal integer that a double does not hold", "a: 0x20000000000001", "the number 0x20000000000001"],
  ["an integer of 100 digits", `a: ${"9".repeat(100)}`, "a: the number 99999"],
  ["a number in the second document", "a: 1\n---\nb: .inf", "[1].b: the number .inf"],
  ["the key __proto__", "a: {__proto__: {b: 1}}", "__proto__"],
  ["the key __proto__ in a merged mapping", "a: {<<: {__proto__: {b: 1}}}", "__proto__"],
  ["a merge of something else", "a: {<<: [1]}", "a merge key (<<)"],
  ["101 levels", `${"[".repeat(101)}1${"]".repeat(101)}`, "nested deeper than 100 levels"],
  [
    "aliases that nest deeper",
    ["- &a0 [1]", ...Array.from({ length: 110 }, (_, i) => `- &a${i + 1} [*a${i}]`)].join("\n"),
    "nested deeper",
  ],
];
for (const [title, text, message] of REFUSED) {
  Deno.test(`[84] parseYaml() refuses ${title}`, () => {
    const error = assertThrows(() => parseYamlDocuments(encoder.encode(text), "a.yaml", LIMITS), CorruptError);
    assertStringIncludes(error.message, message);
  });
}

Deno.test("[51] parseYaml() bounds merge keys that double what they merge", () => {
  const lines = ["m0: &m0 {a: [x, x, x, x, x, x, x, x, x, x]}"];
  for (let i = 1; i < 40; i++) lines.push(`m${i}: &m${i} {<<: *m${i - 1}, b${i}: [*m${i - 1}, *m${i - 1}]}`);
  assertThrows(() => read(lines.join("\n")), CorruptError, "aliases written out");
});

Deno.test("[84] parseYamlDocuments() gives the documents that have content, in their order", () => {
  const text = "\ufeff# a\n---\na: 1\n---\n# none\n---\n- b\n...\n---\n~\n---\nc: |\n  d\n---\n";
  assertEquals(parseYamlDocuments(encoder.encode(text), "a.yaml", LIMITS), [{ a: 1 }, ["b"], { c: "d\n" }]);
});

Deno.test("parseYaml() refuses two documents", () => {
  assertThrows(() => read("a: 1\n---\nb: 1"), CorruptError, "it has 2 documents");
});
