import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { planImageArchive } from "../../../lib/bundle/image_archive.ts";
import type { ImageGraph } from "../../../lib/bundle/image_graph.ts";
import { TarReader } from "../../../lib/archive/tar_reader.ts";
import { ByteReader, openByteSource } from "../../../lib/bytes/byte_reader.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { parsePlatforms } from "../../../lib/oci/platform.ts";
import { parseReference, repositoryOf } from "../../../lib/oci/reference.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { fillStore, makeImage, makeMultiImage, type TestImage } from "./bundle_support.ts";

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

async function read(archive: ReturnType<typeof planImageArchive>): Promise<Entry[]> {
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
    const archive = planImageArchive([graphOf("a.lan/app:1", image, held)], store, parsePlatforms(platforms));
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
  const [first, second] = [await read(plan()), await read(plan())];
  assertEquals(first, second);
  assertEquals(first.length, 3 + AMD64!.blobs.length + 1);
  assertEquals(
    document(first, "index.json").manifests.map((it: { annotations: object }) => Object.values(it.annotations)),
    [["a.lan/app:1", "a.lan/app:1"], ["b.lan/app:1", "b.lan/app:1"]],
  );
});

Deno.test("planImageArchive() leaves out an image without the platform, and fails if content is missing", async () => {
  const store = await fillStore(new MemoryStore(), { "a.lan/app:1": INDEX });
  const { images, skipped } = planImageArchive([graphOf("a.lan/app:1", INDEX)], store, parsePlatforms("linux/s390x"));
  assertEquals([images, skipped], [[], ["a.lan/app:1"]]);
  const empty = planImageArchive([graphOf("a.lan/app:1", INDEX)], new MemoryStore(), parsePlatforms("linux/amd64"));
  await assertRejects(() => read(empty), CorruptError, "it is missing in the store");
});

Deno.test("planImageArchive() has a referrer whole, also one that looks like an index of another platform", async () => {
  const referrer = makeMultiImage([["linux/arm64", ARM64!]]);
  const store = await fillStore(new MemoryStore(), { "a.lan/app:1": AMD64!, "a.lan/app:2": referrer });
  const graphs = [
    graphOf("a.lan/app:1", AMD64!),
    { ...graphOf("a.lan/app:2", referrer), subject: AMD64!.root.descriptor.digest },
  ];
  const archive = planImageArchive(graphs, store, parsePlatforms("linux/amd64"));
  assertEquals([archive.images, archive.skipped], [["a.lan/app:1"], []]);
  const { manifests } = document(await read(archive), "index.json");
  assertEquals(
    manifests.map(({ digest }: { digest: string }) => digest),
    [AMD64!, referrer].map(({ root }) => root.descriptor.digest),
  );
});
