import type { Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { forgetImages, type UnwantedImage } from "../../../lib/store/forget_images.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { verifyStore } from "../../../lib/store/verify_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, shared, onlyA, onlyB] = [makeBlob(101, 1), makeBlob(5000, 4), makeBlob(3000, 5), makeBlob(2000, 6)];
const imageA = makeManifest(config, [shared, onlyA]);
const imageB = makeManifest(config, [shared, onlyB]);
const index = makeIndex([imageA, imageB]);
const digestOf = ({ descriptor }: Content) => descriptor.digest;

async function openStore(tags: Readonly<Record<string, Content>>) {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of [config, shared, onlyA, onlyB]) {
    await store.writeBlob(REPO, descriptor, streamOf(bytes));
  }
  for (const { descriptor, bytes } of [imageA, imageB, index]) await store.writeManifest(REPO, descriptor, bytes);
  for (const [tag, content] of Object.entries(tags)) await store.tag(REPO, tag, digestOf(content));
  return {
    folder,
    forget: async (images: readonly Omit<UnwantedImage, "repository">[], keep: readonly Digest[] = []) => {
      return await forgetImages(folder.path, images.map((it) => ({ repository: REPO, ...it })), new Set(keep));
    },
    // Collects garbage, and lists the remaining content by name.
    collect: async () => {
      await collectGarbage(folder.path);
      assertEquals((await verifyStore(folder.path, new DiskStore(folder.path))).broken, []);
      const left = new DiskStore(folder.path);
      const names: Record<string, Content> = { config, shared, onlyA, onlyB, imageA, imageB, index };
      const held: string[] = [];
      for (const [name, content] of Object.entries(names)) {
        if (await left.statBlob(REPO, digestOf(content)) !== undefined) held.push(name);
      }
      return { held, tags: (await left.listTags(REPO))?.tags };
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

Deno.test("forgetImages() removes an image that shares no content with other images", async () => {
  await using store = await openStore({ "1": index });
  assertEquals(await store.forget([{ tag: "1", digest: digestOf(index) }]), [`${REPO}:1`]);
  assertEquals(await store.collect(), { held: [], tags: undefined });
  assertEquals(await store.folder.listFiles("docker"), []);
});

Deno.test("[37] forgetImages() keeps content that another tag needs", async () => {
  await using store = await openStore({ "1": index, "2": imageB });
  assertEquals(await store.forget([{ tag: "1", digest: digestOf(index) }]), [`${REPO}:1`]);
  assertEquals(await store.collect(), { held: ["config", "shared", "onlyB", "imageB"], tags: ["2"] });
});

Deno.test("forgetImages() keeps a tag that has moved to another digest", async () => {
  await using store = await openStore({ "1": imageA });
  assertEquals(await store.forget([{ tag: "1", digest: digestOf(imageB) }]), []);
  // The untagged index, which is not to be removed, references both images.
  assertEquals((await store.collect()).tags, ["1"]);
});

for (const name of ["library/nginx", "nginx"]) {
  Deno.test(`forgetImages() removes docker.io/library/nginx where CNCF distribution filed it as ${name}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    await store.writeBlob(name, config.descriptor, streamOf(config.bytes));
    const manifest = makeManifest(config, []);
    await store.writeManifest(name, manifest.descriptor, manifest.bytes);
    await store.tag(name, "1", digestOf(manifest));
    const image = { repository: "docker.io/library/nginx", tag: "1", digest: digestOf(manifest) };
    assertEquals(await forgetImages(folder.path, [image], new Set()), ["docker.io/library/nginx:1"]);
    await collectGarbage(folder.path);
    assertEquals(await folder.listFiles("docker"), []);
  });
}

Deno.test("forgetImages() keeps manifests that an index of the repository references", async () => {
  await using store = await openStore({ "1": imageA });
  await store.forget([{ tag: "1", digest: digestOf(imageA) }]);
  assertEquals((await store.collect()).held.includes("imageA"), true);
});

Deno.test("forgetImages() keeps content in `keep`, and an image that still has a tag", async () => {
  await using store = await openStore({ "1": index });
  await store.forget([{ tag: "1", digest: digestOf(index) }], [digestOf(imageA), digestOf(onlyA)]);
  assertEquals(
    (await store.collect()).held,
    ["config", "shared", "onlyA", "imageA"].filter((name) => name !== "index"),
  );
  await using other = await openStore({ "1": index });
  assertEquals(await other.forget([{ digest: digestOf(index) }]), []);
  assertEquals((await other.collect()).tags, ["1"]);
});

Deno.test("[26] forgetImages() completes an interrupted removal when it is repeated", async () => {
  await using store = await openStore({ "1": index });
  const images = [{ tag: "1", digest: digestOf(index) }];
  await Deno.remove(`${store.folder.path}/docker/registry/v2/repositories/${REPO}/_manifests/tags/1/current/link`);
  assertEquals(await store.forget(images), []);
  assertEquals((await store.collect()).held, []);
  assertEquals(await store.folder.listFiles("docker"), []);
  assertEquals(await store.forget(images), []);
});
