import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { readKubePkg, readKubePkgs } from "../../support/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { makeDocument } from "./kubepkg_document.ts";

const encoder = new TextEncoder();
const JSON_TEXT = JSON.stringify(makeDocument());
const YAML_TEXT = `apiVersion: octohelm.tech/v1alpha1
kind: KubePkg
metadata: {name: demo}
spec:
  version: 0.0.1
  images: {"nginx:1": ""}
  manifests:
    m: &m {apiVersion: v1, kind: X, when: 2024-01-01, mode: 0644, answer: yes}
    o: {<<: *m, mode: 0o600}
`;

Deno.test("readKubePkg() reads JSON and YAML", () => {
  assertEquals(readKubePkg(encoder.encode(` \n${JSON_TEXT}`)), parseKubePkg(makeDocument()));
  const fromYaml = readKubePkg(encoder.encode(YAML_TEXT));
  const manifest = { apiVersion: "v1", kind: "X", when: "2024-01-01", mode: 420, answer: true };
  const manifests = { m: manifest, o: { ...manifest, mode: 384 } };
  assertEquals(fromYaml, parseKubePkg(makeDocument((it) => it.spec.manifests = manifests)));
});

const BOMB = ["a: &a [x,x,x,x,x,x,x,x,x]"];
for (let i = 1; i < 10; i++) BOMB.push(`b${i}: &b${i} [${Array(9).fill(i === 1 ? "*a" : `*b${i - 1}`).join(",")}]`);

const HOSTILE: readonly [string, () => Uint8Array, string][] = [
  ["100 MB of JSON", () => new Uint8Array(100_000_000).fill(0x7b), "it has 100000000 bytes"],
  ["100 MB of YAML", () => new Uint8Array(100_000_000).fill(0x61), "it has 100000000 bytes"],
  ["10,000 levels of JSON", () => encoder.encode(`{"a":${"[".repeat(10_000)}`), "nested deeper than 100"],
  ["10,000 levels of YAML", () => encoder.encode(`a: ${"[".repeat(10_000)}${"]".repeat(10_000)}`), "nested"],
  ["200 levels of YAML", () => encoder.encode(`a: ${"[".repeat(200)}${"]".repeat(200)}`), "nested"],
  ["__proto__ in JSON", () => encoder.encode('{"__proto__":{"kind":"KubePkg"}}'), "__proto__"],
  ["__proto__ in YAML", () => encoder.encode("kind: KubePkg\n__proto__: {a: b}"), "__proto__"],
  ["JSON cut short", () => encoder.encode(JSON_TEXT.slice(0, -20)), "Cannot read kubepkg.json as JSON"],
  ["YAML cut short", () => encoder.encode('a: "b'), "Cannot read kubepkg.json as YAML"],
  ["aliases that expand to a billion values", () => encoder.encode(BOMB.join("\n")), "aliases written out"],
  ["an alias to itself", () => encoder.encode("a: &a [*a]"), "nested deeper than 100"],
  [
    "[83] a key twice in JSON",
    () => encoder.encode(JSON_TEXT.replace('"spec":', '"kind":1,"spec":')),
    "kind is given twice",
  ],
  ["[83] a key twice in YAML", () => encoder.encode("kind: KubePkg\nkind: X"), "duplicated mapping key"],
  ["bytes that are not UTF-8", () => new Uint8Array([0x61, 0xff]), "Cannot read kubepkg.json as YAML"],
  ["nothing", () => new Uint8Array(0), "Cannot use kubepkg.json: it is empty"],
  ["only a comment", () => new TextEncoder().encode("# later\n"), "Cannot use kubepkg.json: it is empty"],
];

for (const [title, make, message] of HOSTILE) {
  Deno.test(`[51] readKubePkg() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => readKubePkg(make()), CorruptError).message, message);
  });
}

function toUtf16(text: string, isBigEndian: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  for (let i = 0; i < text.length; i++) view.setUint16(2 * i, text.charCodeAt(i), !isBigEndian);
  return new Uint8Array(view.buffer);
}

const SPELLINGS: readonly [string, string][] = [
  ["a byte order mark and JSON", `\ufeff${JSON_TEXT}`],
  ["JSON with tabs", JSON.stringify(makeDocument(), undefined, "\t")],
  ["a byte order mark and JSON with tabs", `\ufeff${JSON.stringify(makeDocument(), undefined, "\t")}`],
  ["a comment and JSON with tabs", `# a\n${JSON.stringify(makeDocument(), undefined, "\t")}`],
  ...["# a\nBODY", "---\nBODY", "BODY---\n", "BODY...\n", "BODY---\n# end\n", "\ufeffBODY", "%YAML 1.1\n---\nBODY"].map(
    (
      it,
    ): [string, string] => [JSON.stringify(it), it.replace("BODY", YAML_TEXT)],
  ),
  [
    "YAML that begins with a brace",
    "{apiVersion: octohelm.tech/v1alpha1, kind: KubePkg, metadata: {name: demo}, spec: {version: 1.0.0}}",
  ],
  ["CRLF", YAML_TEXT.replaceAll("\n", "\r\n")],
];
for (const [title, text] of SPELLINGS) {
  Deno.test(`[84] readKubePkg() reads ${title}`, () => {
    assertEquals(readKubePkg(encoder.encode(text)).metadata.name, "demo");
  });
}

for (const isBigEndian of [false, true]) {
  Deno.test(`[84] readKubePkg() reads UTF-16, ${isBigEndian ? "big" : "little"} endian`, () => {
    for (const text of [YAML_TEXT.replaceAll("\n", "\r\n"), JSON_TEXT]) {
      const bytes = toUtf16(`\ufeff${text}`, isBigEndian);
      assertEquals(readKubePkg(bytes), readKubePkg(encoder.encode(text)));
    }
  });
}

Deno.test("[84] readKubePkg() refuses half of a UTF-16 character", () => {
  const bytes = toUtf16("\ufeffa: \ud83d", false);
  assertStringIncludes(assertThrows(() => readKubePkg(bytes), CorruptError).message, "says UTF-16");
});

const OTHER = JSON_TEXT.replace('"demo"', '"other"');
const JOINED: readonly [title: string, text: string][] = [
  ["JSON documents in lines", `${JSON_TEXT}\n${OTHER}\n`],
  ["JSON documents without a line break", `${JSON_TEXT}${OTHER}`],
  ["JSON documents with a separator", `${JSON_TEXT}\n---\n${OTHER}`],
  ["files with a byte order mark each", `\ufeff${YAML_TEXT}---\n\ufeff${YAML_TEXT.replace("demo", "other")}`],
  ["files with a byte order mark before ---", `${YAML_TEXT}\ufeff---\n${YAML_TEXT.replace("demo", "other")}`],
];
for (const [title, text] of JOINED) {
  Deno.test(`[84] readKubePkgs() reads ${title}`, () => {
    assertEquals(readKubePkgs(encoder.encode(text)).map(({ metadata }) => metadata.name), ["demo", "other"]);
  });
}

const JOINED_WRONG: readonly [title: string, text: string, message: string][] = [
  ["a key twice in the second JSON document", `${JSON_TEXT}\n${OTHER.replace('"spec":', '"kind":1,"spec":')}`, "twice"],
  ["text behind a JSON document", `${JSON_TEXT} x`, "Cannot read kubepkg.json as JSON"],
  ["a brace too many", `${JSON_TEXT}}`, "Cannot read kubepkg.json as JSON"],
];
for (const [title, text, message] of JOINED_WRONG) {
  Deno.test(`[84] readKubePkgs() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => readKubePkgs(encoder.encode(text)), CorruptError).message, message);
  });
}

Deno.test("[84] readKubePkg() reads 20 MiB of JSON", () => {
  const manifest = { apiVersion: "v1", kind: "ConfigMap", data: { a: "x".repeat(1_000_000) } };
  const manifests = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`m${i}`, manifest]));
  const bytes = encoder.encode(JSON.stringify(makeDocument((it) => it.spec.manifests = manifests)));
  assertEquals(Object.keys(readKubePkg(bytes).spec.manifests).length, 20);
});

const SURROGATES: readonly [title: string, text: string, field: string | undefined][] = [
  ["half of a surrogate pair in JSON", JSON_TEXT.replace('"demo"', '"demo","labels":{"a":"\\ud83d"}'), "labels.a: has"],
  ["the other half in YAML", `${YAML_TEXT}status: {note: "x\\ude00"}\n`, "status.note: has"],
  ["half of a pair in a key", JSON_TEXT.replace('"demo"', '"demo","labels":{"a\\ud83d":"b"}'), "its key has"],
  ["a whole pair", JSON_TEXT.replace('"demo"', '"demo","labels":{"a":"\\ud83d\\ude00"}'), undefined],
];
for (const [title, text, field] of SURROGATES) {
  Deno.test(`[84] readKubePkg() ${field === undefined ? "reads" : "refuses"} ${title}`, () => {
    const read = () => readKubePkg(encoder.encode(text));
    if (field === undefined) assertEquals(read().metadata.labels, { a: "😀" });
    else assertStringIncludes(assertThrows(read, CorruptError).message, field);
  });
}
