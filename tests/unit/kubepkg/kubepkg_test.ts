import { imagesOf, withImageDigests } from "../../../lib/kubepkg/images_of.ts";
import type { PackagePart } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg, parseKubePkgs } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { readKubePkg, readKubePkgs, readKubePkgsJson } from "../../../lib/kubepkg/read_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { formatReference } from "../../../lib/oci/reference.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";

const A = `sha256:${"a".repeat(64)}` as const;
const B = `sha256:${"b".repeat(64)}` as const;

// deno-lint-ignore no-explicit-any -- a document that a test makes invalid
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

Deno.test("parseKubePkg() keeps unknown fields in their order, and fills in missing ones", () => {
  const document = makeDocument((it) => {
    it.extra = [1, { a: null }];
    it.metadata.ownerReferences = [];
    it.spec.upgrade = { from: "0.0.0" };
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

Deno.test("parseKubePkg() reads null as absent, as Go programs write it", () => {
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

Deno.test("parseKubePkg() reads the number of a part", () => {
  assertEquals(parseKubePkg(makeDocument((it) => it.status = { part: PART })).status?.part, PART as PackagePart);
});

const WRONG: readonly (readonly [string, unknown, string])[] = [
  ["images as an empty list", makeDocument((it) => it.spec.images = []), "spec.images: must be an object"],
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
  ["[52] a name that is a path", makeDocument((it) => it.metadata.name = "../../x"), "metadata.name: must be"],
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
    "an annotation that is a number",
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
    "an invalid digest",
    makeDocument((it) => it.spec.images = { "a/b:1": "sha256:12" }),
    'spec.images["a/b:1"]: must be',
  ],
  ["an invalid image", makeDocument((it) => it.spec.images = { "A:1": "" }), 'spec.images["A:1"]: Cannot use'],
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
    "an unknown type",
    makeDocument((it) => it.status = { digests: [{ type: "x", name: "a", digest: A, size: 1 }] }),
    "status.digests[0].type",
  ],
  ...([
    ["a part without a number", { number: undefined }, "status.part.number"],
    ["a part above the count", { number: 3 }, "status.part: has a number above its count"],
    ["four billion parts", { count: 4_000_000_000 }, "status.part.count: must be at most"],
    ["a part zero", { number: 0 }, "status.part.number"],
    ["a part with an invalid id", { id: "sha256:1" }, "status.part.id"],
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

Deno.test("parseKubePkg() accepts versions with a leading v, pre-releases and build metadata", () => {
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

Deno.test("withImageDigests() fills in digests under the names that the package uses", () => {
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
  ["two YAML documents", () => encoder.encode("a: 1\n---\na: 2"), "Cannot read kubepkg.json as YAML"],
  [
    "[83] a key twice in JSON",
    () => encoder.encode(JSON_TEXT.replace('"spec":', '"kind":1,"spec":')),
    "kind is given twice",
  ],
  ["[83] a key twice in YAML", () => encoder.encode("kind: KubePkg\nkind: X"), "duplicated mapping key"],
  ["bytes that are not UTF-8", () => new Uint8Array([0x61, 0xff]), "Cannot read kubepkg.json as YAML"],
  ["nothing", () => new Uint8Array(0), "Cannot use kubepkg.json: it must be an object"],
];

for (const [title, make, message] of HOSTILE) {
  Deno.test(`[51] readKubePkg() refuses ${title}`, () => {
    assertStringIncludes(assertThrows(() => readKubePkg(make()), CorruptError).message, message);
  });
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
  ["CRLF", YAML_TEXT.replaceAll("\n", "\r\n")],
];
for (const [title, text] of SPELLINGS) {
  Deno.test(`[84] readKubePkg() reads ${title}`, () => {
    assertEquals(readKubePkg(encoder.encode(text)).metadata.name, "demo");
  });
}

Deno.test("[84] readKubePkg() reads 20 MiB of JSON", () => {
  const manifest = { apiVersion: "v1", kind: "ConfigMap", data: { a: "x".repeat(1_000_000) } };
  const manifests = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`m${i}`, manifest]));
  const bytes = encoder.encode(JSON.stringify(makeDocument((it) => it.spec.manifests = manifests)));
  assertEquals(Object.keys(readKubePkg(bytes).spec.manifests).length, 20);
});

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
  assertEquals(readKubePkgsJson(encoder.encode(JSON.stringify(makeList(named("a"), named("b")))), "x").length, 2);
  const stream = `${YAML_TEXT}---\n${JSON.stringify(makeList(named("a"), named("b")))}\n---\n`;
  assertEquals(readKubePkgs(encoder.encode(stream)).map(({ metadata }) => metadata.name), ["demo", "a", "b"]);
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
