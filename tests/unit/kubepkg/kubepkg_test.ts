import { imagesOf, withImageDigests } from "../../../lib/kubepkg/images_of.ts";
import type { PackagePart } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { formatReference } from "../../../lib/oci/reference.ts";
import { assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { A, B, makeDocument } from "./kubepkg_document.ts";

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
