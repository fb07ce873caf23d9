import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { type ImageArchive, planImageArchive } from "../../../lib/bundle/image_archive.ts";
import type { ImageGraph } from "../../../lib/bundle/image_graph.ts";
import { TarReader } from "../../../lib/archive/tar_reader.ts";
import { ByteReader, openByteSource } from "../../../lib/bytes/byte_reader.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { parsePlatforms } from "../../../lib/oci/platform.ts";
import { parseReference, repositoryOf } from "../../../lib/oci/reference.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeDocument, makeImage, makeMultiImage, type TestImage } from "./bundle_support.ts";

const [AMD64, ARM64, ARM_V6, ARM_V7] = ["linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm/v7"]
  .map((platform, i) => makeImage(platform, [makeBlob(1000 + i, i)]));
const INDEX = makeMultiImage([["linux/amd64", AMD64!], ["linux/arm64", ARM64!], ["linux/arm/v6", ARM_V6!]]);
const ATTESTED = makeMultiImage([["linux/amd64", AMD64!], [
  "unknown/unknown",
  makeImage("linux/amd64", [makeBlob(9)]),
]]);

/** An image as it is in a store that has only some of its manifests. */
function graphOf(name: string, image: TestImage, held = image.manifests): ImageGraph {
  const reference = parseReference(name);
  return {
    reference,
    repository: repositoryOf(reference),
    digest: image.root.descriptor.digest,
    platforms: [],
    manifests: image.manifests.filter((it) => held.includes(it)),
  };
}

interface Entry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

async function read(archive: ImageArchive): Promise<Entry[]> {
  const parts = [archive.head];
  for await (const piece of archive.readBody()) parts.push(piece.slice());
  const bytes = joinChunks(parts);
  assertEquals(bytes.length, archive.size);
  const tar = new TarReader(new ByteReader(openByteSource(streamOf(bytes)), "the archive"));
  const found: Entry[] = [];
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    found.push({ name: entry.name, bytes: (await entry.readAll(entry.size)).slice() });
  }
  return found;
}

function document(entries: readonly Entry[], name: string) {
  return JSON.parse(new TextDecoder().decode(entries.find((entry) => entry.name === name)!.bytes));
}

const ROOTS: readonly [string, TestImage, TestImage["manifests"], string, TestImage | "a new index"][] = [
  ["an index of which all is there and wanted", INDEX, INDEX.manifests, "linux/amd64,linux/arm64,linux/arm/v6", INDEX],
  ["one platform of an index", INDEX, INDEX.manifests, "linux/arm64", ARM64!],
  ["the only platform that is there", INDEX, [...AMD64!.manifests, INDEX.root], "linux/amd64", AMD64!],
  ["one of two platforms that is there", INDEX, [...AMD64!.manifests, INDEX.root], "linux/amd64,linux/arm64", AMD64!],
  ["two platforms of an index", INDEX, INDEX.manifests, "linux/amd64,linux/arm64", "a new index"],
  ["a lower variant", INDEX, INDEX.manifests, "linux/arm/v7", ARM_V6!],
  ["the platform without its attestation", ATTESTED, ATTESTED.manifests, "linux/amd64", AMD64!],
  ["an image that is no index, whatever its platform", ARM_V7!, ARM_V7!.manifests, "linux/amd64", ARM_V7!],
];
for (const [title, image, held, platforms, expected] of ROOTS) {
  Deno.test(`planImageArchive() names ${title}`, async () => {
    const store = await fillStore(new MemoryStore(), { "a.lan/app:1": image });
    const archive = await planImageArchive([graphOf("a.lan/app:1", image, held)], store, parsePlatforms(platforms));
    const entries = await read(archive);
    for (const { name, bytes } of entries.slice(3)) {
      assertEquals(name, `blobs/${computeDigest(bytes).replace(":", "/")}`);
    }
    assertEquals(entries.length, new Set(entries.map(({ name }) => name)).size);
    const [descriptor] = document(entries, "index.json").manifests;
    assertEquals(descriptor.annotations["io.containerd.image.name"], "a.lan/app:1");
    const root = document(entries, `blobs/${descriptor.digest.replace(":", "/")}`);
    if (expected === "a new index") {
      assertEquals(root.manifests.map(({ digest }: { digest: string }) => digest), [
        AMD64!.root.descriptor.digest,
        ARM64!.root.descriptor.digest,
      ]);
    } else assertEquals(descriptor.digest, expected.root.descriptor.digest);
    const [docker] = document(entries, "manifest.json");
    assertEquals(docker.RepoTags, ["a.lan/app:1"]);
    for (const name of [docker.Config, ...docker.Layers]) assertEquals(entries.some((it) => it.name === name), true);
  });
}

Deno.test("planImageArchive() writes the same bytes for the same images, and content that images share once", async () => {
  const images = { "a.lan/app:1": AMD64!, "b.lan/app:1": AMD64! };
  const store = await fillStore(new MemoryStore(), images);
  const plan = () =>
    planImageArchive(
      Object.entries(images).map(([name, image]) => graphOf(name, image)),
      store,
      parsePlatforms("amd64"),
    );
  const [first, second] = [await read(await plan()), await read(await plan())];
  assertEquals(first, second);
  assertEquals(first.length, 3 + AMD64!.blobs.length + 1);
  assertEquals(
    document(first, "index.json").manifests.map((it: { annotations: object }) => Object.values(it.annotations)),
    [["a.lan/app:1", "a.lan/app:1"], ["b.lan/app:1", "b.lan/app:1"]],
  );
});

Deno.test("planImageArchive() leaves out an image without the platform, and fails if content is missing", async () => {
  const store = await fillStore(new MemoryStore(), { "a.lan/app:1": INDEX });
  const graph = graphOf("a.lan/app:1", INDEX);
  const { images, skipped } = await planImageArchive([graph], store, parsePlatforms("linux/s390x"));
  assertEquals([images, skipped], [[], ["a.lan/app:1"]]);
  const empty = await planImageArchive([graph], new MemoryStore(), parsePlatforms("linux/amd64"));
  await assertRejects(() => read(empty), CorruptError, "it is missing in the store");
});

Deno.test("planImageArchive() has a referrer whole, also one that looks like an index of another platform", async () => {
  const referrer = makeMultiImage([["linux/arm64", ARM64!]]);
  const store = await fillStore(new MemoryStore(), { "a.lan/app:1": AMD64!, "a.lan/app:2": referrer });
  const graphs = [
    graphOf("a.lan/app:1", AMD64!),
    { ...graphOf("a.lan/app:2", referrer), subject: AMD64!.root.descriptor.digest },
  ];
  const archive = await planImageArchive(graphs, store, parsePlatforms("linux/amd64"));
  assertEquals([archive.images, archive.skipped], [["a.lan/app:1"], []]);
  const { manifests } = document(await read(archive), "index.json");
  assertEquals(
    manifests.map(({ digest }: { digest: string }) => digest),
    [AMD64!, referrer].map(({ root }) => root.descriptor.digest),
  );
});

const IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json";
const IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar";
const EMPTY = "application/vnd.oci.empty.v1+json";

/** Makes a manifest with one layer. */
function makeArtifact(configType: string, config: unknown, layerType: string): TestImage {
  const [configBlob, layer] = [makeDocument(configType, config), makeBlob(10)];
  const layers = [{ ...layer.descriptor, mediaType: layerType }];
  const mediaType = MEDIA_TYPE.ociManifest;
  const root = makeDocument(mediaType, { schemaVersion: 2, mediaType, config: configBlob.descriptor, layers });
  return { root, manifests: [root], blobs: [configBlob, layer] };
}

const ROOTFS = {
  os: "linux",
  architecture: "amd64",
  rootfs: { type: "layers", diff_ids: [`sha256:${"a".repeat(64)}`] },
};
const ARTIFACT = makeArtifact(EMPTY, {}, "text/plain");
const LAYERLESS = makeImage("linux/amd64", []);
for (
  const [what, image, isForDocker] of [
    ["an image", AMD64!, true],
    ["an image without layers", LAYERLESS, true],
    ["an index that lists an artifact first", makeMultiImage([[undefined, ARTIFACT], ["linux/amd64", AMD64!]]), true],
    ["an artifact", ARTIFACT, false],
    ["an index of artifacts", makeMultiImage([[undefined, ARTIFACT]]), false],
    ["a Helm chart", makeArtifact("application/vnd.cncf.helm.config.v1+json", { name: "web" }, "application/x"), false],
    ["an artifact with the type of an image and no rootfs", makeArtifact(IMAGE_CONFIG, {}, IMAGE_LAYER), false],
    ["an artifact whose config is a list", makeArtifact(IMAGE_CONFIG, [], IMAGE_LAYER), false],
    ["a signature that looks like an image", makeArtifact(IMAGE_CONFIG, ROOTFS, "application/vnd.dev.cosign"), false],
    [
      "a config with other layers",
      makeArtifact(IMAGE_CONFIG, { ...ROOTFS, rootfs: { diff_ids: null } }, IMAGE_LAYER),
      false,
    ],
  ] as const
) {
  Deno.test(`[113] planImageArchive() lists ${what} for docker: ${isForDocker}`, async () => {
    const store = await fillStore(new MemoryStore(), { "a.lan/app:1": AMD64!, "b.lan/it:2": image });
    const graphs = [graphOf("b.lan/it:2", image), graphOf("a.lan/app:1", AMD64!)];
    const archive = await planImageArchive(graphs, store, "all");
    assertEquals(archive.notForDocker, isForDocker ? [] : ["b.lan/it:2"]);
    const entries = await read(archive);
    const docker: { readonly RepoTags: string[] }[] = document(entries, "manifest.json");
    assertEquals(docker.flatMap(({ RepoTags }) => RepoTags), [...isForDocker ? ["b.lan/it:2"] : [], "a.lan/app:1"]);
    const { manifests } = document(entries, "index.json");
    assertEquals(manifests.map(({ digest }: { digest: string }) => digest), graphs.map(({ digest }) => digest));
    const alone = await read(await planImageArchive([graphs[0]!], store, "all"));
    assertEquals(alone.some(({ name }) => name === "manifest.json"), isForDocker);
    assertEquals(document(alone, "index.json").manifests.length, 1);
  });
}
