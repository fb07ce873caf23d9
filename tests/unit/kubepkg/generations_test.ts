import { parseKubePkg, parseKubePkgs } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { readKubePkgsJson } from "../../../lib/kubepkg/read_kubepkg.ts";
import { readKubePkgs } from "../../support/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { A, B, makeDocument } from "./kubepkg_document.ts";

const EARLIER: readonly [string, object, object][] = [
  ["a manifest that is null", { manifests: { off: null, on: { apiVersion: "v1", kind: "X" } } }, {
    manifests: { on: { apiVersion: "v1", kind: "X" } },
  }],
  ["grouped manifests", { manifests: { web: { a: { apiVersion: "v1", kind: "X" } } } }, {
    manifests: { "web.a": { apiVersion: "v1", kind: "X" } },
  }],
  ["empty fields of the later generation", { deploy: {}, volumes: null, containers: [] }, {
    deploy: {},
    volumes: null,
    containers: [],
  }],
];
for (const [title, spec, expected] of EARLIER) {
  Deno.test(`[80] parseKubePkg() reads ${title}`, () => {
    assertEquals(
      parseKubePkg(makeDocument((it) => Object.assign(it.spec, spec))).spec,
      {
        version: "0.0.1",
        images: { "nginx:1": "" },
        manifests: {},
        ...expected,
      } as ReturnType<typeof parseKubePkg>["spec"],
    );
  });
}

Deno.test("[80] parseKubePkg() reads the images of status.images where spec.images has none", () => {
  const document = makeDocument((it) => {
    it.status = { images: { "nginx:1": A, "app:2": "x" } };
    it.spec.images = {};
  });
  assertEquals(parseKubePkg(document).spec.images, { "nginx:1": A, "app:2": "" });
  assertEquals(parseKubePkg(makeDocument((it) => it.status = { images: { "app:2": B } })).spec.images, {
    "nginx:1": "",
  });
});

const LATER: readonly [string, object, string][] = [
  ["spec.deploy", { deploy: { kind: "Deployment" } }, "spec.deploy is of the later generation"],
  [
    "several fields at once",
    { services: { "#": {} }, containers: { web: {} }, config: { A: "1" } },
    "spec.config, spec.containers, spec.services are of the later generation",
  ],
  ["spec.serviceAccount", { serviceAccount: { rules: [] } }, "spec.serviceAccount is"],
];
for (const [title, spec, message] of LATER) {
  Deno.test(`[80] parseKubePkg() refuses ${title} of the later generation by name`, () => {
    const document = makeDocument((it) => Object.assign(it.spec, spec));
    assertStringIncludes(assertThrows(() => parseKubePkg(document, "a.json"), CorruptError).message, message);
  });
}

// deno-lint-ignore no-explicit-any -- documents that a test makes invalid
const makeList = (...items: any[]) => ({ apiVersion: "octohelm.tech/v1alpha1", kind: "KubePkgList", items });
const named = (name: string) => makeDocument((it) => it.metadata.name = name);

Deno.test("[80] parseKubePkgs() reads a KubePkg, and the items of a KubePkgList", () => {
  const { apiVersion: _, kind: __, ...untyped } = named("c");
  const names = (value: unknown) => parseKubePkgs(value).map(({ metadata }) => metadata.name);
  assertEquals(names(named("a")), ["a"]);
  assertEquals(names(makeList(named("a"), named("b"), untyped)), ["a", "b", "c"]);
  assertEquals(parseKubePkg(makeList(named("a"))).metadata.name, "a");
  assertEquals(
    readKubePkgsJson(new TextEncoder().encode(JSON.stringify(makeList(named("a"), named("b")))), "x").length,
    2,
  );
  const stream = `# a\n${JSON.stringify(named("demo"))}\n---\n${
    JSON.stringify(makeList(named("a"), named("b")))
  }\n---\n`;
  assertEquals(readKubePkgs(new TextEncoder().encode(stream)).map(({ metadata }) => metadata.name), ["demo", "a", "b"]);
});

const WRONG_LISTS: readonly [string, unknown, string][] = [
  [
    "two packages where one is expected",
    makeList(named("a"), named("b")),
    "it holds 2 packages (a, b), one is expected",
  ],
  ["an empty list", makeList(), "items: must be a list of KubePkgs"],
  ["a list in a list", makeList(makeList(named("a"))), "kind: must be KubePkg"],
  ["a list with a wrong item", makeList(named("a"), named("/")), "the KubePkg, items[1]: metadata.name: must be"],
  ["a list of 1,001 packages", makeList(...Array(1001).fill(named("a"))), "has 1001 packages"],
];
for (const [title, value, message] of WRONG_LISTS) {
  Deno.test(`[80] parseKubePkg() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => parseKubePkg(value), CorruptError).message, message);
  });
}
