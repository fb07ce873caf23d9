import { preparePack } from "../../../lib/bundle/prepare_pack.ts";
import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { parseKubePkg } from "../../../lib/kubepkg/parse_kubepkg.ts";
import { referrersOf } from "../../../lib/kubepkg/referrers_of.ts";
import { type Descriptor, MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Fault, type FaultUpstream, startFaultUpstream } from "../../support/fault_upstream.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import { TestFolder } from "../../support/test_folder.ts";
import { createTestSource, PATH, REPO } from "../../support/upstream_source.ts";

/** Adds an image with a referrer that the API and the referrers tag name, and a signature under cosign's tag. */
function addAttached(upstream: FaultUpstream): { image: Descriptor; referrer: Descriptor; signature: Descriptor } {
  const { manifest: image, config } = upstream.addImage(PATH, "1");
  const hex = image.digest.replace(":", "-");
  const add = (document: object, options: Parameters<FaultUpstream["addManifest"]>[2]) =>
    upstream.addManifest(PATH, new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, ...document })), options);
  const artifactType = "application/spdx+json";
  const referrer = add({ artifactType, config, layers: [], subject: image }, { subject: image.digest });
  const signature = add({ config, layers: [] }, { tag: `${hex}.sig` });
  add({ mediaType: MEDIA_TYPE.ociIndex, manifests: [referrer] }, { tag: hex, mediaType: MEDIA_TYPE.ociIndex });
  return { image, referrer, signature };
}

const both = ["referrer", "signature"] as const;
const CASES: readonly [
  what: string,
  faults: readonly Fault[],
  found: readonly ("referrer" | "signature")[],
  problems: number,
][] = [
  ["everything is right", [], both, 0],
  ["the API answers with 401", [{ kind: "referrers", status: 401 }], both, 0],
  ["the API answers with 404", [{ kind: "referrers", status: 404 }], both, 0],
  ["the API answers with 500", [{ kind: "referrers", status: 500 }], both, 0],
  ["the API answers with garbage", [{ kind: "referrers", status: 200, body: "<html>" }], both, 0],
  ["the API answers with 503", [{ kind: "referrers", status: 503 }], both, 1],
  ["the API answers with 429", [{ kind: "referrers", status: 429 }], ["signature"], 1],
  ["the tags answer with 500", [{ kind: "manifest", path: ".sig", status: 500 }], ["referrer"], 1],
  ["the tags answer with 403", [{ kind: "manifest", path: ".sig", status: 403 }], ["referrer"], 1],
  ["the signature is garbage", [{ kind: "manifest", path: ".sig", status: 200, body: "<html>" }], ["referrer"], 1],
];
for (const [what, faults, found, problems] of CASES) {
  Deno.test(`[100] an image is packed with the referrers that are right, when ${what}`, async () => {
    await using folder = await TestFolder.create();
    await using upstream = startFaultUpstream({ referrersApi: true });
    const added = addAttached(upstream);
    for (const fault of faults) upstream.fail(fault);
    const source = new PullThrough({
      store: new DiskStore(folder.path),
      upstream: createTestSource(upstream.url).source,
      tagTtl: 0,
      warn: () => {},
    });
    const release = parseKubePkg(makeKubePkg({ [`${REPO}:1`]: "" }));
    const pack = await preparePack(release, source, { referrers: { catalog: source, isCarried: true } });
    const lines = referrersOf(pack.kubepkg);
    assertEquals(
      { found: lines.map(({ digest }) => digest).sort(), problems: pack.withoutReferrers.length },
      { found: found.map((name) => added[name].digest).sort(), problems },
      JSON.stringify(pack.withoutReferrers),
    );
    assertEquals(lines.every(({ subject }) => subject === added.image.digest), true);
    await source.stop();
  });
}
