import { type CarriedManifest, planBundle, platformsOf } from "../../../lib/bundle/bundle_plan.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import type { Descriptor } from "../../../lib/oci/manifest.ts";
import { parseReference } from "../../../lib/oci/reference.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const NAMES = new Map<string, string>();

function d(name: string, size = 10): Descriptor {
  const digest = computeDigest(name);
  NAMES.set(digest, name);
  return { mediaType: "x", digest, size };
}

function manifest(name: string, blobs: string[], platform?: string): CarriedManifest {
  return { descriptor: d(name), blobs: blobs.map((blob) => d(blob)), children: [], ...(platform ? { platform } : {}) };
}

const MULTI: CarriedManifest = {
  descriptor: d("index"),
  blobs: [],
  children: [
    manifest("amd", ["amd-config", "shared", "amd-layer"], "linux/amd64"),
    manifest("arm", ["arm-config", "shared"], "linux/arm64"),
  ],
};
const SINGLE = manifest("single", ["single-config", "shared"], "linux/amd64");
const IMAGES = [
  { reference: parseReference("z.lan/b:1"), root: MULTI },
  { reference: parseReference("a.lan/a:2"), root: SINGLE },
];

const namesOf = (digests: readonly { digest: string }[]) => digests.map(({ digest }) => NAMES.get(digest));

Deno.test("planBundle() orders images by reference, each as config, layers, manifest, index, with each digest once", () => {
  const plan = planBundle(IMAGES);
  assertEquals(namesOf(plan.entries.map(({ descriptor }) => descriptor)), [
    "single-config",
    "shared",
    "single",
    "amd-config",
    "amd-layer",
    "amd",
    "arm-config",
    "arm",
    "index",
  ]);
  assertEquals(plan.size, 90);
  assertEquals(planBundle(IMAGES.toReversed()), plan);
});

Deno.test("planBundle() lists what every repository needs, with tag and platform", () => {
  const lines = planBundle(IMAGES).digests.map(({ digest, name, type, tag, platform }) => {
    return [NAMES.get(digest), name, type, tag, platform];
  });
  assertEquals(lines, [
    ["single-config", "a.lan/a", "blob", undefined, "linux/amd64"],
    ["shared", "a.lan/a", "blob", undefined, "linux/amd64"],
    ["single", "a.lan/a", "manifest", "2", "linux/amd64"],
    ["amd-config", "z.lan/b", "blob", undefined, "linux/amd64"],
    ["shared", "z.lan/b", "blob", undefined, undefined],
    ["amd-layer", "z.lan/b", "blob", undefined, "linux/amd64"],
    ["amd", "z.lan/b", "manifest", undefined, "linux/amd64"],
    ["arm-config", "z.lan/b", "blob", undefined, "linux/arm64"],
    ["arm", "z.lan/b", "manifest", undefined, "linux/arm64"],
    ["index", "z.lan/b", "manifest", "1", undefined],
  ]);
});

Deno.test("planBundle() leaves out content that the site holds, but lists it", () => {
  const have = new Set([d("shared").digest, d("single").digest, d("something else").digest]);
  const plan = planBundle(IMAGES, have);
  assertEquals(
    namesOf(plan.entries.map(({ descriptor }) => descriptor)).filter((it) => it === "shared" || it === "single"),
    [],
  );
  assertEquals(plan.entries.length, 7);
  assertEquals(plan.omitted, [d("shared").digest, d("single").digest].sort());
  assertEquals(plan.omittedSize, d("shared").size + d("single").size);
  assertEquals(plan.size + plan.omittedSize, planBundle(IMAGES).size);
  assertEquals(plan.digests, planBundle(IMAGES).digests);
});

Deno.test("planBundle() refuses manifests that disagree on a size", () => {
  const root = { ...SINGLE, blobs: [d("shared", 10), d("shared", 11)] };
  assertThrows(() => planBundle([{ reference: parseReference("a:1"), root }]), CorruptError, "has 10 and 11 bytes");
});

Deno.test("platformsOf() returns the platforms of an index in its order", () => {
  assertEquals(platformsOf(MULTI), ["linux/amd64", "linux/arm64"]);
  assertEquals(platformsOf(SINGLE), ["linux/amd64"]);
});
