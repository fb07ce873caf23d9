import { imagesOf, withImageDigests } from "../../../lib/kubepkg/images_of.ts";
import type { PackagePart } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { readKubePkg } from "../../../lib/kubepkg/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { formatReference } from "../../../lib/oci/reference.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";

const A = `sha256:${"a".repeat(64)}` as const;
const B = `sha256:${"b".repeat(64)}` as const;

// deno-lint-ignore no-explicit-any -- a document that is yet to be spoilt
function makeDocument(change: (document: any) => void = () => {}): any {
  const document = {
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "demo" },
    spec: { version: "0.0.1", images: { "nginx:1": "" }, manifests: {} },
  };
  change(document);
  return document;
}

Deno.test("parseKubePkg() keeps what it does not know, in its order, and fills in what is missing", () => {
  const document = makeDocument((it) => {
    it.extra = [1, { a: null }];
    it.metadata.ownerReferences = [];
    it.spec.deploy = { kind: "Deployment" };
    it.spec.manifests.x = { kind: "X", apiVersion: "v1", data: { on: "yes" } };
    delete it.spec.images;
    it.status = { digests: [{ type: "blob", name: "a", digest: A, size: 1, offset: 5 }], other: true };
  });
  const parsed = parseKubePkg(document);
  assertEquals(parsed, {
    ...document,
    metadata: { ...document.metadata, namespace: "default" },
    spec: { ...document.spec, images: {} },
  });
  assertEquals(Object.keys(parsed), Object.keys(document));
  assertEquals(Object.keys(parsed.spec.manifests.x ?? {}), ["kind", "apiVersion", "data"]);
});

Deno.test("parseKubePkg() takes null for absent, as Go programs write it", () => {
  const document = makeDocument((it) => {
    it.metadata = { ...it.metadata, namespace: null, labels: null, annotations: null, creationTimestamp: null };
    it.spec = { version: "0.0.1", images: null, manifests: null };
    it.status = { digests: null, omitted: null, tgzDigest: null };
  });
  assertEquals(JSON.parse(JSON.stringify(parseKubePkg(document))), {
    ...document,
    metadata: { name: "demo", namespace: "default", creationTimestamp: null },
    spec: { version: "0.0.1", images: {}, manifests: {} },
    status: {},
  });
  assertEquals("status" in parseKubePkg(makeDocument((it) => it.status = null)), false);
});

const PART = { id: A, number: 1, count: 2, carries: [{ digest: A }, { digest: A, start: 0, length: 9 }] };

Deno.test("parseKubePkg() reads which part of a package a file is", () => {
  assertEquals(parseKubePkg(makeDocument((it) => it.status = { part: PART })).status?.part, PART as PackagePart);
});

const WRONG: readonly (readonly [string, unknown, string])[] = [
  ["no images as a list", makeDocument((it) => it.spec.images = []), "spec.images: must be an object"],
  [
    "a manifest named constructor",
    makeDocument((it) => it.spec.manifests = { constructor: 5 }),
    "spec.manifests: must not",
  ],
  ["no object", [], "Cannot use the KubePkg: it must be an object"],
  ["another apiVersion", makeDocument((it) => it.apiVersion = "v2"), "apiVersion: must be octohelm.tech/v1alpha1"],
  ["no kind", makeDocument((it) => delete it.kind), "kind: is missing"],
  ["no metadata", makeDocument((it) => delete it.metadata), "metadata: is missing"],
  ["no name", makeDocument((it) => delete it.metadata.name), "metadata.name: is missing"],
  ["[52] a name that leads elsewhere", makeDocument((it) => it.metadata.name = "../../x"), "metadata.name: must be"],
  ["[52] a name with a slash", makeDocument((it) => it.metadata.name = "a/b"), "metadata.name: must be"],
  ["[52] a hidden name", makeDocument((it) => it.metadata.name = ".a"), "metadata.name: must be"],
  ["[52] a name with two dots", makeDocument((it) => it.metadata.name = "a..b"), "metadata.name: must be"],
  ["[52] a name with a NUL", makeDocument((it) => it.metadata.name = "a\0"), "metadata.name: must be"],
  ["a long name", makeDocument((it) => it.metadata.name = "a.".repeat(127) + "aa"), "metadata.name: must be"],
  [
    "[52] a namespace with a slash",
    makeDocument((it) => it.metadata.namespace = "../x"),
    "metadata.namespace: must be",
  ],
  [
    "an annotation that is no text",
    makeDocument((it) => it.metadata.annotations = { a: 1 }),
    "metadata.annotations.a:",
  ],
  ["no version", makeDocument((it) => delete it.spec.version), "spec.version: is missing"],
  [
    "a version of two numbers",
    makeDocument((it) => it.spec.version = "1.2"),
    "spec.version: must be a semantic version",
  ],
  ["[52] a version with a path", makeDocument((it) => it.spec.version = "../1.0.0"), "spec.version: must be"],
  ["images as a list", makeDocument((it) => it.spec.images = ["a"]), "spec.images: must be an object"],
  [
    "a digest that is none",
    makeDocument((it) => it.spec.images = { "a/b:1": "sha256:12" }),
    'spec.images["a/b:1"]: must be',
  ],
  ["an image that is none", makeDocument((it) => it.spec.images = { "A:1": "" }), 'spec.images["A:1"]: Cannot use'],
  [
    "a digest in name and value that differ",
    makeDocument((it) => it.spec.images = { [`a:1@${A}`]: B }),
    "the name has digest sha256:aa",
  ],
  [
    "one image with two digests",
    makeDocument((it) => it.spec.images = { "nginx:1": A, "docker.io/library/nginx:1": B }),
    'spec.images["docker.io/library/nginx:1"]: is the same image as "nginx:1"',
  ],
  [
    "a manifest without kind",
    makeDocument((it) => it.spec.manifests = { "a.b": { apiVersion: "v1" } }),
    'spec.manifests["a.b"].kind',
  ],
  [
    "a negative size",
    makeDocument((it) => it.status = { digests: [{ type: "blob", name: "a", digest: A, size: -1 }] }),
    "status.digests[0].size",
  ],
  [
    "a type that is none",
    makeDocument((it) => it.status = { digests: [{ type: "x", name: "a", digest: A, size: 1 }] }),
    "status.digests[0].type",
  ],
  ...([
    ["a part without a number", { number: undefined }, "status.part.number"],
    ["a part above the count", { number: 3 }, "status.part: has a number above its count"],
    ["more parts than anybody has", { count: 4_000_000_000 }, "status.part.count: must be at most"],
    ["a part zero", { number: 0 }, "status.part.number"],
    ["a part with an id that is none", { id: "sha256:1" }, "status.part.id"],
    ["a piece without a length", { carries: [{ digest: A, start: 5 }] }, "status.part.carries[0]: needs both"],
    ["an empty piece", { carries: [{ digest: A, start: 5, length: 0 }] }, "status.part.carries[0].length"],
  ] as const).map(([title, wrong, message]) =>
    [title, makeDocument((it) => it.status = { part: { ...PART, ...wrong } }), message] as const
  ),
];

for (const [title, value, message] of WRONG) {
  Deno.test(`parseKubePkg() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => parseKubePkg(value), CorruptError).message, message);
  });
}

Deno.test("parseKubePkg() takes versions with a leading v, pre-releases and build metadata", () => {
  for (const version of ["v1.2.3", "1.2.3-rc.1+build.5", "0.0.0"]) {
    assertEquals(parseKubePkg(makeDocument((it) => it.spec.version = version)).spec.version, version);
  }
});

Deno.test("imagesOf() gives each image once, by reference, latest where a name has neither tag nor digest", () => {
  const images = {
    "zot.lan:5000/z": "",
    "nginx:1": "",
    "docker.io/library/nginx:1": A,
    [`app@${B}`]: "",
    [`b:2@${A}`]: "",
  };
  const found = imagesOf(parseKubePkg(makeDocument((it) => it.spec.images = images)));
  assertEquals(found.map(({ reference, digest }) => [formatReference(reference), digest]), [
    [`docker.io/library/app@${B}`, B],
    ["docker.io/library/b:2", A],
    ["docker.io/library/nginx:1", A],
    ["zot.lan:5000/z:latest", undefined],
  ]);
});

Deno.test("withImageDigests() fills in digests under the names that the package has", () => {
  const kubepkg = parseKubePkg(makeDocument((it) => it.spec.images = { "nginx:1": "", nginx: A }));
  assertEquals(withImageDigests(kubepkg, ({ digest }) => digest ?? B).spec.images, { "nginx:1": B, nginx: A });
});

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
    n: *m
`;

Deno.test("readKubePkg() reads JSON and YAML", () => {
  assertEquals(readKubePkg(encoder.encode(` \n${JSON_TEXT}`)), parseKubePkg(makeDocument()));
  const fromYaml = readKubePkg(encoder.encode(YAML_TEXT));
  const manifest = { apiVersion: "v1", kind: "X", when: "2024-01-01", mode: 420, answer: "yes" };
  assertEquals(fromYaml, parseKubePkg(makeDocument((it) => it.spec.manifests = { m: manifest, n: manifest })));
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
  ["aliases that stand for a billion values", () => encoder.encode(BOMB.join("\n")), "aliases stand for too much"],
  ["an alias to itself", () => encoder.encode("a: &a [*a]"), "nested too deep"],
  ["two YAML documents", () => encoder.encode("a: 1\n---\na: 2"), "Cannot read kubepkg.json as YAML"],
  ["a merge key", () => encoder.encode("a: &a {b: 1}\nc: {<<: *a}"), "merge keys"],
  ["bytes that are no text", () => new Uint8Array([0x61, 0xff]), "Cannot read kubepkg.json as YAML"],
  ["nothing", () => new Uint8Array(0), "Cannot use kubepkg.json: it must be an object"],
];

for (const [title, make, message] of HOSTILE) {
  Deno.test(`[51] readKubePkg() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => readKubePkg(make()), CorruptError).message, message);
  });
}
