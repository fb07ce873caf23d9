import { blobsOf, checkImage, isComplete } from "../../../lib/cache/completeness.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";

const REPO = "registry.example/team/app";

function makeJson(mediaType: string, fields: object): Content {
  const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType, ...fields }));
  return { bytes, descriptor: { mediaType, digest: computeDigest(bytes), size: bytes.length } };
}

function makeIndexOf(...manifests: Descriptor[]): Content {
  return makeJson(MEDIA_TYPE.ociIndex, { manifests });
}

function makeImage(config: Content, ...layers: Content[]): Content {
  return makeJson(MEDIA_TYPE.ociManifest, {
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
  });
}

/** Adds fields to the descriptor of some content, as an index or a manifest lists it. */
function listed({ descriptor }: Content, fields: Partial<Descriptor>): Descriptor {
  return { ...descriptor, ...fields };
}

const onPlatform = (os: string, architecture: string) => ({ platform: { os, architecture } });
const [config, layer, other, statement] = [1, 2, 3, 4].map((seed) => makeBlob(100 + seed, seed)) as [
  Content,
  Content,
  Content,
  Content,
];
const image = makeImage(config, layer);
const arm = makeImage(other, layer);
const attestation = makeImage(statement);
const amd64 = listed(image, onPlatform("linux", "amd64"));
const arm64 = listed(arm, onPlatform("linux", "arm64"));
const unknown = listed(attestation, onPlatform("unknown", "unknown"));
const annotated = listed(attestation, { annotations: { "vnd.docker.reference.type": "attestation-manifest" } });
const index = makeIndexOf(amd64, arm64, unknown);
const inner = makeIndexOf(amd64);
const nested = makeIndexOf(inner.descriptor);
const cacheLayer = listed(layer, { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" });
const cacheConfig = listed(config, { mediaType: "application/vnd.buildkit.cacheconfig.v0" });
const buildCache = makeIndexOf(cacheLayer, cacheConfig);
const mixed = makeIndexOf(amd64, listed(other, { mediaType: "application/octet-stream" }));
const noPlatform = makeIndexOf(unknown);
const empty = makeIndexOf();
const inline = listed(config, { data: btoa(String.fromCharCode(...config.bytes)) });
const wrongData = listed(config, { data: btoa(String.fromCharCode(...config.bytes.toReversed())) });
const emptyJson = { mediaType: "application/vnd.oci.empty.v1+json", digest: computeDigest("{}"), size: 2 };
const artifact = (config: Descriptor) => makeJson(MEDIA_TYPE.ociManifest, { config, layers: [layer.descriptor] });

/** [what is checked, the root, what the store has, the state, the missing blobs] */
const rows: [string, Content, Content[], "complete" | "partial" | "none", Content[]?][] = [
  ["an image with every blob", image, [image, config, layer], "complete"],
  ["[68] an image without a layer", image, [image, config], "partial", [layer]],
  ["[68] an image without its config", image, [image, layer], "partial", [config]],
  ["[68] an image without any blob, which the client may have", image, [image], "partial", [config, layer]],
  ["an image without its manifest", image, [config, layer], "none"],
  ["an index with one complete image", index, [index, image, config, layer], "complete"],
  ["an index with one complete and one partial image", index, [index, arm, image, config, layer], "complete"],
  ["[68] an index with one partial image", index, [index, arm, layer], "partial", [other]],
  ["[68] an index with two partial images", index, [index, arm, image, layer], "partial", [config, other]],
  ["[69] an index alone", index, [index], "none"],
  ["[69] an index with blobs, and no manifest", index, [index, config, layer], "none"],
  ["[69] an index with its attestation", index, [index, attestation, statement], "none"],
  [
    "[69] an index with an annotated attestation",
    makeIndexOf(amd64, annotated),
    [makeIndexOf(amd64, annotated), attestation, statement],
    "none",
  ],
  ["an index of attestations only", noPlatform, [noPlatform, attestation, statement], "complete"],
  ["an empty index", empty, [empty], "complete"],
  ["a nested index with an image", nested, [nested, inner, image, config, layer], "complete"],
  ["[69] a nested index without an image", nested, [nested, inner], "none"],
  ["[69] a nested index whose inner index is missing", nested, [nested, image, config, layer], "none"],
  ["[69] a build cache with its entries", buildCache, [buildCache, layer, config], "complete"],
  ["[69] a build cache without an entry", buildCache, [buildCache, layer], "partial", [config]],
  ["[69] an index with a blob beside its image", mixed, [mixed, image, config, layer], "partial", [other]],
  ["[68] an artifact with an inline config", artifact(inline), [artifact(inline), layer], "complete"],
  ["[68] an artifact with wrong data", artifact(wrongData), [artifact(wrongData), layer], "partial", [config]],
  ["[68] an artifact with an empty config", artifact(emptyJson), [artifact(emptyJson), layer], "complete"],
];
for (const [what, root, contents, state, missing = []] of rows) {
  const [, faults = "", name] = /^((?:\[\d+\] )*)(.*)$/.exec(what)!;
  Deno.test(`${faults}checkImage() of ${name}: ${state}`, async () => {
    const store = new MemoryStore();
    for (const { descriptor, bytes } of contents) {
      const isManifest = Object.values(MEDIA_TYPE).includes(descriptor.mediaType as typeof MEDIA_TYPE.ociIndex);
      if (isManifest) await store.writeManifest(REPO, descriptor, bytes);
      else await store.writeBlob(REPO, descriptor, streamOf(bytes));
    }
    const digests = missing.map(({ descriptor }) => descriptor.digest);
    const held = await checkImage(store, REPO, root.descriptor);
    assertEquals({ ...held, missing: [...held.missing].sort() }, {
      state,
      missing: [...digests].sort(),
      missingCount: digests.length,
    });
    assertEquals(await isComplete(store, REPO, root.descriptor), state === "complete");
  });
}

Deno.test("checkImage() reads each manifest once, however often indexes list it", async () => {
  const store = new MemoryStore();
  let root = makeIndexOf(...Array.from({ length: 50 }, () => image.descriptor));
  await store.writeManifest(REPO, root.descriptor, root.bytes);
  for (let depth = 0; depth < 5; depth++) {
    const { descriptor } = root;
    root = makeIndexOf(...Array.from({ length: 50 }, () => descriptor));
    await store.writeManifest(REPO, root.descriptor, root.bytes);
  }
  store.asked.length = 0;
  assertEquals((await checkImage(store, REPO, root.descriptor)).state, "none");
  assertEquals(store.asked.length, 7);
});

Deno.test("checkImage() names at most eight missing blobs, and counts all", async () => {
  const layers = Array.from({ length: 30 }, (_, i) => makeBlob(10, 100 + i));
  const large = makeImage(config, ...layers, ...layers);
  const store = new MemoryStore();
  await store.writeManifest(REPO, large.descriptor, large.bytes);
  const { missing, missingCount } = await checkImage(store, REPO, large.descriptor);
  assertEquals([missing.length, missingCount], [8, 31]);
});

Deno.test("blobsOf() lists config and layers of an image, and the entries of an index that are no manifests", () => {
  const digestsOf = ({ bytes }: Content): Digest[] => blobsOf(bytes).map(({ digest }) => digest);
  assertEquals(digestsOf(image), [config.descriptor.digest, layer.descriptor.digest]);
  assertEquals(digestsOf(mixed), [other.descriptor.digest]);
  assertEquals(digestsOf(index), []);
});
