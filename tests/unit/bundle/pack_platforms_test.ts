import { describeIncompleteImages } from "../../../lib/bundle/check_package.ts";
import { inspectBundle } from "../../../lib/bundle/inspect_bundle.ts";
import type { PackOptions } from "../../support/pack_bundle.ts";
import { preparePack } from "../../../lib/bundle/prepare_pack.ts";
import { PLATFORMS_ANNOTATION } from "../../../lib/kubepkg/kubepkg.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { parsePlatforms } from "../../../lib/oci/platform.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import {
  digestsIn,
  fillStore,
  makeDocument,
  makeImage,
  makeKubePkg,
  makeMultiImage,
  pack,
  type TestImage,
} from "./bundle_support.ts";

const PLATFORM = (name: string) => parsePlatforms(name);
const WINDOWS = makeImage("windows/amd64");
const ATTESTATION = makeImage("unknown/unknown");
const MANY = makeMultiImage([
  ["linux/amd64", makeImage("linux/amd64")],
  ["unknown/unknown", ATTESTATION],
  ["linux/arm/v7", makeImage("linux/arm/v7")],
  ["linux/arm64", makeMultiImage([["linux/arm64", makeImage("linux/arm64")]])],
  ["windows/amd64", WINDOWS],
  [undefined, makeMultiImage([[undefined, makeImage("linux/s390x")], ["linux/ppc64le", makeImage("linux/ppc64le")]])],
]);
const ARM = makeImage("linux/arm/v7");
const OLD_ARM = makeMultiImage(["v5", "v6"].map((variant) => {
  return [`linux/arm/${variant}`, makeImage(`linux/arm/${variant}`)];
}));
const ALL_ARM = makeMultiImage(["v5", "v6", "v7", "v8"].map((variant) => {
  return [`linux/arm/${variant}`, makeImage(`linux/arm/${variant}`)];
}));
const ARTIFACT: TestImage = (() => {
  const layer = makeBlob(100, 9);
  const config = makeDocument("application/vnd.cncf.helm.config.v1+json", { name: "chart" });
  const root = makeDocument(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: config.descriptor,
    layers: [layer.descriptor],
  });
  return { root, manifests: [root], blobs: [config, layer] };
})();
const ARTIFACTS = makeMultiImage([[undefined, ARTIFACT], ["unknown/unknown", ATTESTATION]]);

const CHOICES: readonly [string, TestImage, PackOptions, string | undefined, string[] | string][] = [
  ["the default platforms that are available", MANY, {}, undefined, ["linux/amd64", "linux/arm64"]],
  ["the requested platforms", MANY, { platforms: PLATFORM("linux/arm,amd64") }, "linux/arm64", [
    "linux/amd64",
    "linux/arm/v7",
  ]],
  ["the platforms of the annotation", MANY, { devicePlatforms: PLATFORM("linux/amd64") }, "linux/aarch64, linux/arm", [
    "linux/arm/v7",
    "linux/arm64",
  ]],
  ["the platform of the device", MANY, { devicePlatforms: PLATFORM("linux/amd64") }, undefined, ["linux/amd64"]],
  ["a platform in a nested index", MANY, { platforms: PLATFORM("linux/ppc64le") }, undefined, ["linux/ppc64le"]],
  ["a platform that only the config gives", MANY, { platforms: PLATFORM("linux/s390x") }, undefined, ["linux/s390x"]],
  ["another operating system", MANY, { platforms: PLATFORM("windows/amd64") }, undefined, ["windows/amd64"]],
  ["an attestation only when requested", MANY, { platforms: PLATFORM("linux/amd64,unknown/unknown") }, undefined, [
    "linux/amd64",
  ]],
  ["a single-platform image", makeImage("linux/amd64"), {}, undefined, ["linux/amd64"]],
  ["a single-platform image, by name", ARM, { platforms: PLATFORM("linux/arm") }, undefined, ["linux/arm/v7"]],
  ["a whole artifact", ARTIFACT, { platforms: PLATFORM("linux/arm") }, undefined, []],
  ["a whole index of artifacts", ARTIFACTS, {}, undefined, []],
  [
    "a platform by flag that is not there",
    MANY,
    { platforms: PLATFORM("linux/amd64,linux/riscv64") },
    undefined,
    "Cannot pack docker.io/library/app:1: it is not available for linux/riscv64, only for linux/amd64, linux/arm/v7, linux/arm64, linux/ppc64le, linux/s390x, windows/amd64",
  ],
  // An earlier pack writes the platforms of all images together into the annotation [87].
  ["the platforms of the annotation that are there", MANY, {}, "linux/amd64,linux/386", ["linux/amd64"]],
  [
    "none of the platforms of the annotation",
    MANY,
    {},
    "linux/386,linux/riscv64",
    "for linux/386, linux/riscv64, only",
  ],
  [
    "a platform of the device that is not there",
    MANY,
    { devicePlatforms: PLATFORM("linux/386") },
    undefined,
    "not available for linux/386",
  ],
  [
    "one platform of two that a single image has",
    makeImage("linux/amd64"),
    { platforms: PLATFORM("linux/amd64,linux/arm64") },
    undefined,
    "not available for linux/arm64, only for linux/amd64",
  ],
  ["a lower variant, by name", OLD_ARM, { platforms: PLATFORM("linux/arm/v7") }, undefined, ["linux/arm/v6"]],
  ["a lower variant, by annotation", OLD_ARM, {}, "linux/arm,linux/arm64", ["linux/arm/v6"]],
  ["the highest variant", ALL_ARM, { platforms: PLATFORM("linux/arm/v7") }, undefined, ["linux/arm/v7"]],
  ["32-bit ARM for a 64-bit machine", OLD_ARM, { platforms: PLATFORM("arm64") }, undefined, ["linux/arm/v6"]],
  ["two variants by name", ALL_ARM, { platforms: PLATFORM("linux/arm/v7,linux/arm/v6") }, undefined, [
    "linux/arm/v6",
    "linux/arm/v7",
  ]],
  ["386 for amd64", makeImage("linux/386"), { platforms: PLATFORM("linux/amd64/v2") }, undefined, ["linux/386"]],
  [
    "a higher variant than requested",
    ARM,
    { platforms: PLATFORM("linux/arm/v6") },
    undefined,
    "not available for linux/arm/v6, only for linux/arm/v7",
  ],
  ["none of the defaults", ARM, {}, undefined, "not available for linux/amd64, linux/arm64, only for linux/arm/v7"],
];

for (const [title, image, options, annotation, expected] of CHOICES) {
  Deno.test(`packBundle() ${typeof expected === "string" ? "refuses" : "carries"} ${title}`, async () => {
    const store = await fillStore(new MemoryStore(), { "app:1": image });
    const annotations = annotation === undefined
      ? {}
      : { metadata: { name: "demo", annotations: { [PLATFORMS_ANNOTATION]: annotation } } };
    const kubepkg = makeKubePkg({ "app:1": "" }, "1.0.0", annotations);
    if (typeof expected === "string") {
      assertStringIncludes((await assertRejects(() => pack(kubepkg, store, options), Error)).message, expected);
    } else {
      const { bytes, result } = await pack(kubepkg, store, options);
      assertEquals([...result.platforms], expected);
      assertEquals([...result.images[0]?.platforms ?? []].sort(), expected);
      assertEquals((await inspectBundle(streamOf(bytes))).map(({ platforms }) => platforms), [expected]);
      const digests = await digestsIn(bytes);
      assertEquals(digests.at(-1), image.root.descriptor.digest);
      assertEquals(digests.includes(ATTESTATION.root.descriptor.digest), title.includes("attestation"));
    }
    assertEquals(store.openBodies, 0);
  });
}

Deno.test("[87] packBundle() reports which platform is carried instead of a requested one", async () => {
  const store = await fillStore(new MemoryStore(), { "old:1": OLD_ARM, "new:1": ALL_ARM });
  const kubepkg = makeKubePkg({ "old:1": "", "new:1": "" });
  const { result } = await pack(kubepkg, store, { platforms: PLATFORM("linux/arm/v7") });
  assertEquals(result.images.map(({ platforms, substitutes }) => ({ platforms, substitutes })), [
    { platforms: ["linux/arm/v7"], substitutes: undefined },
    { platforms: ["linux/arm/v6"], substitutes: [{ requested: "linux/arm/v7", taken: "linux/arm/v6" }] },
  ]);
});

Deno.test("[87] packBundle() does not read manifests of platforms that are not carried", async () => {
  const store = await fillStore(new MemoryStore(), { "app:1": ALL_ARM });
  const isOther = (digest: string) =>
    ALL_ARM.manifests.slice(0, -1).some((it, i) => i !== 2 && it.descriptor.digest === digest);
  const read = store.readManifest.bind(store);
  store.readManifest = async (repository, digest) => isOther(digest) ? undefined : await read(repository, digest);
  const { result } = await pack(makeKubePkg({ "app:1": "" }), store, { platforms: PLATFORM("linux/arm/v7") });
  assertEquals([...result.platforms], ["linux/arm/v7"]);
});

const BOTH = makeMultiImage([["linux/amd64", makeImage("linux/amd64")], ["linux/arm64", makeImage("linux/arm64")]]);
const [AMD_CHILD, ARM_CHILD] = BOTH.manifests.map(({ descriptor }) => descriptor.digest);
const PARTIAL: readonly [title: string, PackOptions, absent: (string | undefined)[], expected: string[] | string][] = [
  ["one of two", {}, [ARM_CHILD], ["linux/amd64"]],
  ["the other one", {}, [AMD_CHILD], ["linux/arm64"]],
  ["none", {}, [AMD_CHILD, ARM_CHILD], "for linux/amd64 was not found"],
  ["one of two, by name", { platforms: PLATFORM("linux/amd64,linux/arm64") }, [ARM_CHILD], "linux/arm64 was not found"],
];
for (const [title, options, absent, expected] of PARTIAL) {
  Deno.test(`[87] packBundle() with a source that lists two platforms and holds ${title}`, async () => {
    const store = await fillStore(new MemoryStore(), { "app:1": BOTH });
    const read = store.readManifest.bind(store);
    store.readManifest = async (repository, digest) => {
      return absent.includes(digest) ? undefined : await read(repository, digest);
    };
    const kubepkg = makeKubePkg({ "app:1": "" });
    if (typeof expected === "string") {
      assertStringIncludes((await assertRejects(() => pack(kubepkg, store, options), Error)).message, expected);
      return;
    }
    const { bytes, result } = await pack(kubepkg, store, options);
    assertEquals([...result.platforms], expected);
    assertEquals((await digestsIn(bytes)).at(-1), BOTH.root.descriptor.digest);
    const warnings = describeIncompleteImages(await preparePack(kubepkg, store, options));
    const listed = expected[0] === "linux/amd64" ? "linux/arm64" : "linux/amd64";
    assertEquals(warnings.map(({ code, field }) => [code, field]), [["unavailable-platform", listed]]);
  });
}
