import { readKubePkg } from "../../support/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";

const encoder = new TextEncoder();

/** A package in JSON, with this text as the data of a manifest. */
function makeJson(data: string): Uint8Array {
  const manifest = `{"apiVersion":"v1","kind":"X","a [{\\"":[true,"1,2",${data}]}`;
  return encoder.encode(
    `{"apiVersion":"octohelm.tech/v1alpha1","kind":"KubePkg","metadata":{"name":"demo"},` +
      `"spec":{"version":"1.0.0","manifests":{"m.x":${manifest},"n":{"apiVersion":"v1","kind":"X"}}}}`,
  );
}

/** The same package in YAML. */
function makeYaml(data: string): Uint8Array {
  return encoder.encode([
    "apiVersion: octohelm.tech/v1alpha1",
    "kind: KubePkg",
    "metadata: {name: demo}",
    "spec:",
    "  version: 1.0.0",
    "  manifests:",
    `    m.x: {apiVersion: v1, kind: X, "a [{\\"": [true, "1,2", ${data}]}`,
  ].join("\n"));
}

const FIELD = 'spec.manifests["m.x"]["a [{\\""][2]';

const CHANGED: readonly [string, string, string?][] = [
  ["2^53 + 1", "9007199254740993"],
  ["-2^53 - 1", "-9007199254740993"],
  ["the largest 64-bit integer", "9223372036854775807"],
  ["a number inside objects", '{"b":{"c":[0,9007199254740993]}}', ".b.c[1]"],
];
for (const [title, data, deeper = ""] of CHANGED) {
  for (const [format, make] of [["JSON", makeJson], ["YAML", makeYaml]] as const) {
    Deno.test(`readKubePkg() refuses ${title} in ${format} and names the field`, () => {
      const error = assertThrows(() => readKubePkg(make(data), "a.doc"), CorruptError);
      assertStringIncludes(error.message, `Cannot use a.doc: ${FIELD}${deeper}: the number `);
    });
  }
}

Deno.test("readKubePkg() refuses a number that would become null", () => {
  assertThrows(() => readKubePkg(makeJson("1e400")), CorruptError, "the number 1e400");
  assertThrows(() => readKubePkg(makeYaml(".inf")), CorruptError, "the number .inf");
});

const KEPT = ["9007199254740991", "-9007199254740991", "0", "-1", "0.1", "1e300", "1.5e-7", '"9007199254740993"'];
for (const data of KEPT) {
  Deno.test(`readKubePkg() keeps ${data}`, () => {
    for (const make of [makeJson, makeYaml]) {
      assertEquals(readKubePkg(make(data)).spec.manifests["m.x"]?.['a [{"'], [true, "1,2", JSON.parse(data)]);
    }
  });
}

Deno.test("readKubePkg() keeps a large integer that a double holds exactly", () => {
  for (const data of ["1000000000000000000", "9007199254740992"]) {
    for (const make of [makeJson, makeYaml]) {
      const kept = readKubePkg(make(data)).spec.manifests["m.x"]?.['a [{"'] as unknown[];
      assertEquals(JSON.stringify(kept[2]), data);
    }
  }
});
