import { planBundle } from "../../../lib/bundle/bundle_plan.ts";
import { ImageResolver, type PlatformChoice } from "../../../lib/bundle/resolve_image.ts";
import { CorruptError } from "../../../lib/oci/error.ts";
import { type Descriptor, MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { parsePlatform } from "../../../lib/oci/platform.ts";
import { parseReference, repositoryOf } from "../../../lib/oci/reference.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { type Content, makeBlob, streamOf } from "../../support/content.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { makeDocument, makeImage } from "./bundle_support.ts";

const reference = parseReference("registry.test/team/app:1");
const image = makeImage("linux/amd64");
const [layer, config] = [makeBlob(500, 71), makeBlob(60, 72)] as [Content, Content];

function makeIndexOf(...manifests: Descriptor[]): Content {
  return makeDocument(MEDIA_TYPE.ociIndex, { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests });
}

const amd64 = { ...image.root.descriptor, platform: parsePlatform("linux/amd64") };
const cached = { ...layer.descriptor, mediaType: "application/vnd.oci.image.layer.v1.tar+gzip" };
const cacheConfig = { ...config.descriptor, mediaType: "application/vnd.buildkit.cacheconfig.v0" };

// As some tools write it, although the image specification requires "mediaType" of a descriptor.
const withoutType = ({ mediaType: _, ...descriptor }: Descriptor) => descriptor as Descriptor;

const ALL: PlatformChoice = { platforms: "all", isNamed: false };
const AMD64: PlatformChoice = { platforms: [parsePlatform("linux/amd64")], isNamed: true };

/** [what, the index, the choice of platforms, the content that is carried beside the index] */
const rows: [string, Content, PlatformChoice, Content[]][] = [
  ["a build cache, whose entries are layers and a config", makeIndexOf(cached, cacheConfig), ALL, [layer, config]],
  ["a build cache, whatever the platform", makeIndexOf(cached, cacheConfig), AMD64, [layer, config]],
  ["an index with an image and a blob", makeIndexOf(amd64, cacheConfig), AMD64, [
    config,
    ...image.blobs,
    image.root,
  ]],
  ["an index that states no types", makeIndexOf(withoutType(amd64)), AMD64, [...image.blobs, image.root]],
  ["an index that states neither types nor platforms", makeIndexOf(withoutType(image.root.descriptor)), AMD64, [
    ...image.blobs,
    image.root,
  ]],
  ["an empty index", makeIndexOf(), ALL, []],
  ["an index with an empty index", makeIndexOf(makeIndexOf().descriptor), ALL, [makeIndexOf()]],
];
for (const [what, index, choice, expected] of rows) {
  Deno.test(`ImageResolver carries all of ${what}`, async () => {
    const store = new MemoryStore();
    const repository = repositoryOf(reference);
    for (const { descriptor, bytes } of [layer, config, ...image.blobs]) {
      await store.writeBlob(repository, descriptor, streamOf(bytes));
    }
    for (const { descriptor, bytes } of [...image.manifests, makeIndexOf(), index]) {
      await store.writeManifest(repository, descriptor, bytes);
    }
    await store.tag(repository, "1", index.descriptor.digest);
    const resolved = await new ImageResolver(store, choice, "pull").resolve({ name: "app", reference });
    const digestsOf = (contents: Content[]) => contents.map(({ descriptor }) => descriptor.digest);
    assertEquals(planBundle([resolved]).entries.map(({ descriptor }) => descriptor.digest), [
      ...digestsOf(expected),
      index.descriptor.digest,
    ]);
  });
}

Deno.test("ImageResolver refuses an index without a manifest for the chosen platform", async () => {
  const store = new MemoryStore();
  const index = makeIndexOf(amd64, cacheConfig);
  await store.writeManifest(repositoryOf(reference), index.descriptor, index.bytes);
  await store.tag(repositoryOf(reference), "1", index.descriptor.digest);
  const choice: PlatformChoice = { platforms: [parsePlatform("linux/s390x")], isNamed: true };
  const resolve = () => new ImageResolver(store, choice, "pull").resolve({ name: "app", reference });
  await assertRejects(resolve, Error, "it is not available for linux/s390x, only for linux/amd64");
});

Deno.test("[89] ImageResolver refuses indexes that list each other again and again, and reads each once", async () => {
  const store = new MemoryStore();
  const repository = repositoryOf(reference);
  const leaf = makeIndexOf(...Array.from({ length: 100 }, () => amd64));
  const indexes = [leaf];
  for (let depth = 0; depth < 7; depth++) {
    indexes.push(makeIndexOf(...Array.from({ length: 100 }, () => indexes.at(-1)!.descriptor)));
  }
  for (const { descriptor, bytes } of indexes) await store.writeManifest(repository, descriptor, bytes);
  await store.tag(repository, "1", indexes.at(-1)!.descriptor.digest);
  let reads = 0;
  const readManifest = store.readManifest.bind(store);
  store.readManifest = (...args) => {
    reads++;
    return readManifest(...args);
  };
  for (const choice of [ALL, AMD64]) {
    reads = 0;
    const resolve = () => new ImageResolver(store, choice, "pull").resolve({ name: "app", reference });
    await assertRejects(resolve, CorruptError, "its indexes list too much, or the same again and again");
    assertEquals(reads, indexes.length);
  }
});
