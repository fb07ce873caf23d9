import { listEvictableImages, removeImage } from "../../../lib/cache/evictable_images.ts";
import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { forgetImages } from "../../../lib/store/forget_images.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { ManifestReader } from "../../../lib/store/manifest_reader.ts";
import { listBlobSizes } from "../../../lib/store/store_scan.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildArtifact, buildImage, type BuiltImage } from "../../support/images.ts";
import { writeImage } from "../../support/put_image.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.test/app";
const image = buildImage();
const other = buildImage({ files: { "other.txt": "other" } });
const signature = buildImage({ files: { "signature.json": "{}" } });
const ofSignature = buildImage({ files: { "signature.json": "[]" } });
const sbom = buildArtifact(image.root, "application/spdx+json");
const tagOf = ({ root }: BuiltImage) => `${root.digest.replace(":", "-")}.sig`;

/** A store with an image under the tag `1`, its SBOM without a tag, its signature, and a signature of that. */
async function openStore() {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  await writeImage(store, `${REPO}:1`, image);
  await writeImage(store, `${REPO}:sbom`, sbom);
  await forgetTag(folder.path, "sbom");
  await writeImage(store, `${REPO}:${tagOf(image)}`, signature);
  await writeImage(store, `${REPO}:${tagOf(signature)}`, ofSignature);
  await writeImage(store, `${REPO}:other`, other);
  const list = async () => {
    await collectGarbage(folder.path);
    const left = new DiskStore(folder.path);
    const held: string[] = [];
    for (const [name, { root }] of Object.entries({ image, other, signature, ofSignature, sbom })) {
      if (await left.resolve(REPO, root.digest) !== undefined) held.push(name);
    }
    return { held, tags: (await left.listTags(REPO))?.tags };
  };
  return { path: folder.path, store, list, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

async function forgetTag(root: string, tag: string): Promise<void> {
  await Deno.remove(`${root}/docker/registry/v2/repositories/${REPO}/_manifests/tags/${tag}`, { recursive: true });
}

const forget = (root: string, tag: string, keep: readonly Digest[] = []) => {
  const digest = tag === "1" ? image.root.digest : other.root.digest;
  return forgetImages(root, [{ repository: REPO, tag, digest }], new Set(keep));
};
const ALL = ["image", "other", "signature", "ofSignature", "sbom"];

Deno.test("garbage collection keeps what is attached to an image, by its subject or by a tag of cosign", async () => {
  await using store = await openStore();
  assertEquals(await store.list(), { held: ALL, tags: ["1", "other", tagOf(image), tagOf(signature)].sort() });
});

Deno.test("forgetImages() removes what is attached to an image with it, and nothing that is attached to others", async () => {
  await using store = await openStore();
  assertEquals(await forget(store.path, "other"), [`${REPO}:other`]);
  assertEquals((await store.list()).held, ALL.filter((name) => name !== "other"));
  assertEquals(await forget(store.path, "1"), [`${REPO}:1`]);
  assertEquals(await store.list(), { held: [], tags: undefined });
});

Deno.test("forgetImages() keeps what is attached to an image that is needed, or has another tag", async () => {
  await using store = await openStore();
  await forget(store.path, "1", [image.root.digest]);
  assertEquals((await store.list()).tags, ["other", tagOf(image), tagOf(signature)].sort());
  await store.store.tag(REPO, "2", image.root.digest);
  await store.store.tag(REPO, "1", image.root.digest);
  await forget(store.path, "1");
  assertEquals(await store.list(), { held: ALL, tags: ["2", "other", tagOf(image), tagOf(signature)].sort() });
});

Deno.test("an image is evicted with what is attached to it, never one without the other", async () => {
  await using store = await openStore();
  const reader = new ManifestReader(store.path);
  const images = await listEvictableImages(store.path, (it) => reader.read(it), await listBlobSizes(store.path));
  const roots = images.map(({ root }) => root).sort();
  assertEquals(roots, [image.root.digest, other.root.digest].sort());
  const evicted = images.find(({ root }) => root === image.root.digest)!;
  assertEquals(evicted.tags, [{ repo: REPO, tag: "1" }]);
  const kept = new Set(images.filter((it) => it !== evicted).flatMap(({ digests }) => [...digests]));
  await removeImage(store.path, evicted, {
    isNeeded: (digest) => kept.has(digest),
    onManifest: () => {},
    onBlob: () => {},
  });
  assertEquals(await store.list(), { held: ["other"], tags: ["other"] });
});

Deno.test("a tag of cosign without its subject is an image of its own", async () => {
  await using folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  const tag = `${computeDigest("missing").replace(":", "-")}.sig`;
  await writeImage(store, `${REPO}:${tag}`, signature);
  const reader = new ManifestReader(folder.path);
  const images = await listEvictableImages(folder.path, (it) => reader.read(it), await listBlobSizes(folder.path));
  assertEquals(images.map(({ root, tags }) => ({ root, tags })), [
    { root: signature.root.digest, tags: [{ repo: REPO, tag }] },
  ]);
});
