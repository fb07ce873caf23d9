import {
  checkPackage,
  describeIncompleteImages,
  describeMissingImages,
  listMissingImages,
  listMissingInPack,
  type WarningCode,
} from "../../../lib/bundle/check_package.ts";
import { preparePack } from "../../../lib/bundle/prepare_pack.ts";
import { type KubePkg, PLATFORMS_ANNOTATION } from "../../../lib/kubepkg/kubepkg.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { parsePlatforms } from "../../../lib/oci/platform.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeDocument, makeImage, makeKubePkg, makeMultiImage, type TestImage } from "./bundle_support.ts";

const AMD = makeImage("linux/amd64");
const ARM = makeImage("linux/arm64");
const BOTH = makeMultiImage([["linux/amd64", AMD], ["linux/arm64", ARM]]);
const CHILD = AMD.root.descriptor.digest;
const OTHER = `sha256:${"1".repeat(64)}`;

const config = (metadata: object = {}, data: object = { a: "1" }) => {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace: "default", ...metadata }, data };
};
const pod = (...images: string[]) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "p", namespace: "default" },
  spec: { containers: images.map((image, i) => ({ name: `c${i}`, image })) },
});
const list = (...items: (object | null)[]) => ({
  apiVersion: "v1",
  kind: "List",
  metadata: { resourceVersion: "" },
  items,
});

function makePackage(objects: readonly object[], images: Record<string, string> = {}): KubePkg {
  return parseKubePkg({
    apiVersion: "octohelm.tech/v1alpha1",
    kind: "KubePkg",
    metadata: { name: "web" },
    spec: { version: "1.0.0", images, manifests: Object.fromEntries(objects.map((it, i) => [`m${i}`, it])) },
  });
}

const LIVE = { uid: "3f0c", resourceVersion: "4711", managedFields: [{ manager: "kubectl" }], creationTimestamp: null };
const ROWS: readonly [title: string, object[], [WarningCode, object: string, field: string][]][] = [
  ["nothing in a good object", [config()], []],
  ["one object twice", [config(), config({}, { a: "2" })], [["duplicate-object", "ConfigMap/default/a", ""]]],
  ["one object twice, once in a List", [config(), list(config())], [["duplicate-object", "ConfigMap/default/a", ""]]],
  ["generateName", [config({ name: undefined, generateName: "a-" })], [
    ["name", "ConfigMap (spec.manifests.m0)", "metadata.generateName"],
  ]],
  ["a numeric label", [config({ labels: { v: 1 } })], [["field-value", "ConfigMap/default/a", "metadata.labels.v"]]],
  ["numeric data", [config({}, { a: 1 })], [["field-value", "ConfigMap/default/a", "data.a"]]],
  ["1.1 MB of data", [config({}, { a: "x".repeat(1_100_000) })], [["object-size", "ConfigMap/default/a", "data"]]],
  ["a control character", [config({}, { a: "\u007f" })], [["control-character", "ConfigMap/default/a", "data.a"]]],
  ["live fields", [config(LIVE)], [
    ["live-field", "ConfigMap/default/a", "metadata.managedFields, metadata.resourceVersion, metadata.uid"],
  ]],
  ["a null item in a List, also in one within it", [list(config(), null, list(null))], [
    ["null-item", "List (spec.manifests.m0)", "items[1]"],
    ["null-item", "List (spec.manifests.m0.items[2])", "items[0]"],
  ]],
  ["a null item in a typed list", [{ apiVersion: "v1", kind: "ConfigMapList", items: [null, config()] }], [
    ["null-item", "ConfigMapList (spec.manifests.m0)", "items[0]"],
  ]],
  ["no empty List, and no List whose items are null", [list(), { ...list(), items: null }], []],
  ["an object of an old API", [{ ...pod("a"), apiVersion: "extensions/v1beta1", kind: "Ingress" }], [
    ["kind", "Ingress/default/p", "apiVersion"],
  ]],
  ["live fields in a List", [list(config(LIVE))], [
    ["live-field", "ConfigMap/default/a", "metadata.managedFields, metadata.resourceVersion, metadata.uid"],
  ]],
];
for (const [title, objects, expected] of ROWS) {
  Deno.test(`[83] checkPackage() finds ${title}`, () => {
    const { warnings } = checkPackage(makePackage(objects));
    assertEquals(warnings.map(({ code, object, field }) => [code, object, field]), expected);
    for (const { message, object } of warnings) assertStringIncludes(message, object);
  });
}

Deno.test("[83] checkPackage() gives the package without live fields, lists and keys as they are", () => {
  const { kubepkg } = checkPackage(makePackage([config(LIVE), list(config({ ...LIVE, name: "b" }))]));
  assertEquals<object>(kubepkg.spec.manifests, {
    m0: config(),
    m1: { apiVersion: "v1", kind: "List", metadata: {}, items: [config({ name: "b" })] },
  });
});

const MISSING: readonly [title: string, images: Record<string, string>, used: string, WarningCode | undefined][] = [
  ["an image that is not listed", {}, "app:1", "unlisted-image"],
  ["no image that is listed", { "docker.io/library/app:1": "" }, "app:1", undefined],
  ["a tag whose digest is another one", { "app:1": BOTH.root.descriptor.digest }, `app:1@${OTHER}`, "other-digest"],
  ["a tag that resolves to another digest", { "app:1": "" }, `app:1@${OTHER}`, "other-digest"],
  ["a digest that the repository does not have", { "app:1": "" }, `app@${OTHER}`, "unlisted-image"],
  ["no manifest of the carried index", { "app:1": "" }, `app:1@${CHILD}`, undefined],
  ["no tag that resolves to the digest", { "app:1": "" }, `app:1@${BOTH.root.descriptor.digest}`, undefined],
];
for (const [title, images, used, expected] of MISSING) {
  Deno.test(`[83] a pack finds ${title}`, async () => {
    const checked = checkPackage(makePackage([pod(used)], images));
    const pack = await preparePack(checked.kubepkg, await fillStore(new MemoryStore(), { "app:1": BOTH }), {});
    const warnings = describeMissingImages(listMissingInPack(pack, checked));
    assertEquals(warnings.map(({ code }) => code), expected === undefined ? [] : [expected]);
    for (const { message, object, field } of warnings) {
      assertEquals([object, field], ["Pod/default/p", "spec.containers[0].image"]);
      assertStringIncludes(message, "docker.io/library/app");
    }
  });
}

Deno.test("[83] images that are not listed are known before the package is resolved", () => {
  const checked = checkPackage(makePackage([pod("b:1", "a:1", "a:1")]));
  assertEquals(listMissingImages(checked.kubepkg, checked).map(({ image }) => image), [
    "docker.io/library/a:1",
    "docker.io/library/b:1",
  ]);
});

const FOREIGN_TYPES = [
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];
function makeForeignImage(mediaType: string): TestImage {
  const image = makeImage("windows/amd64");
  const manifest = JSON.parse(new TextDecoder().decode(image.root.bytes));
  const layer = { mediaType, digest: OTHER, size: 5, urls: ["https://example.org/layer"] };
  const root = makeDocument(MEDIA_TYPE.ociManifest, { ...manifest, layers: [layer, ...manifest.layers] });
  return { ...image, root, manifests: [root] };
}
for (const mediaType of FOREIGN_TYPES) {
  Deno.test(`[83] a pack names a layer of the type ${mediaType} once, and its image`, async () => {
    const image = makeForeignImage(mediaType);
    const index = makeMultiImage([["linux/amd64", AMD], ["windows/amd64", image]]);
    const store = await fillStore(new MemoryStore(), { "app:1": index });
    const pack = await preparePack(makeKubePkg({ "app:1": "" }), store, { platforms: parsePlatforms("windows/amd64") });
    const warnings = describeIncompleteImages(pack);
    assertEquals(warnings.map(({ code, object, field }) => [code, object, field]), [
      ["foreign-layer", "docker.io/library/app:1", OTHER],
    ]);
    assertStringIncludes(warnings[0]!.message, "the site cannot pull the image");
    // Without Windows the image is whole.
    const linux = await preparePack(makeKubePkg({ "app:1": "" }), store, { platforms: parsePlatforms("linux/amd64") });
    assertEquals(describeIncompleteImages(linux), []);
  });
}

Deno.test("[87] the kubepkg.json of a bundle packs again, although one image has fewer platforms", async () => {
  const store = await fillStore(new MemoryStore(), { "a:1": BOTH, "b:1": AMD });
  const first = await preparePack(makeKubePkg({ "a:1": "", "b:1": "" }), store, {});
  const part = { id: OTHER, number: 1, count: 1, carries: [] };
  const given = parseKubePkg({
    ...first.kubepkg,
    spec: { ...first.kubepkg.spec, version: "1.0.1" },
    status: { ...first.kubepkg.status, omitted: [OTHER], part, images: { "c:1": "" } },
  });
  const again = await preparePack(given, store, {});
  assertEquals(describeIncompleteImages(again), []);
  assertEquals(again.kubepkg, { ...first.kubepkg, spec: { ...first.kubepkg.spec, version: "1.0.1" } });
  const demanded = { platforms: parsePlatforms("linux/amd64,linux/arm64") };
  await assertRejects(() => preparePack(given, store, demanded), Error, "not available for linux/arm64");
});

Deno.test("[87] a platform that only the annotation of a release asks for is named where an image does not have it", async () => {
  const store = await fillStore(new MemoryStore(), { "a:1": BOTH, "b:1": AMD });
  const metadata = { name: "demo", annotations: { [PLATFORMS_ANNOTATION]: "linux/amd64,linux/arm64" } };
  const pack = await preparePack(makeKubePkg({ "a:1": "", "b:1": "" }, "1.0.0", { metadata }), store, {});
  assertEquals(describeIncompleteImages(pack).map(({ code, object, field }) => [code, object, field]), [
    ["unavailable-platform", "docker.io/library/b:1", "linux/arm64"],
  ]);
});
