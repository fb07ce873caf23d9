import { missingError } from "../../../lib/install/plan_blobs.ts";
import { API_VERSION, type KubePkg } from "../../../lib/kubepkg/kubepkg.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { assertEquals } from "../../support/assert.ts";

const [LAYER, BASE, OTHER] = ["layer", "base", "other"].map((text): Digest => computeDigest(text)) as [
  Digest,
  Digest,
  Digest,
];

const KUBEPKG: KubePkg = {
  apiVersion: API_VERSION,
  kind: "KubePkg",
  metadata: { name: "line4", namespace: "default" },
  spec: { version: "2.0.0", images: { "registry.test/web:2": "", "registry.test/job:1": "" }, manifests: {} },
  status: {
    digests: [
      { type: "blob", name: "registry.test/web", digest: LAYER, size: 9 },
      { type: "blob", name: "registry.test/job", digest: OTHER, size: 9 },
    ],
    deltas: [{
      digest: LAYER,
      delta: computeDigest("delta"),
      size: 5,
      plainSize: 9,
      model: "x/1",
      bases: [{ digest: BASE, size: 9 }],
    }],
  },
};

for (
  const [what, missing, image] of [
    ["a blob", [OTHER], "registry.test/job:1"],
    ["the base of a delta, which the package does not list", [BASE], "registry.test/web:2"],
    ["both", [BASE, OTHER], "registry.test/job:1, registry.test/web:2"],
  ] as const
) {
  Deno.test(`missingError() names the images that need ${what}`, () => {
    const [, images] = /needed by ([^ ]+(?:, [^ ]+)*):? sha256/.exec(missingError(KUBEPKG, missing).message) ?? [];
    assertEquals(images?.replace(/:$/, "").split(", ").sort().join(", "), image);
  });
}
