import { DiskStore } from "../../../lib/store/disk_store.ts";
import { layerLinkPath } from "../../../lib/store/layout.ts";
import { LinkedStore } from "../../../lib/store/linked_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeIndex, makeManifest, streamOf, UNKNOWN_DIGEST } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer, stray] = [makeBlob(100, 1), makeBlob(2000, 2), makeBlob(500, 3)];
const manifest = makeManifest(config, [layer]);
const index = makeIndex([manifest]);

async function openStores(repo = REPO) {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  for (const { descriptor, bytes } of [config, layer]) await store.writeBlob(repo, descriptor, streamOf(bytes));
  await store.writeBlob("registry.example/stray", stray.descriptor, streamOf(stray.bytes));
  for (const { descriptor, bytes } of [manifest, index]) await store.writeManifest(repo, descriptor, bytes);
  return {
    root: folder.path,
    store,
    linked: new LinkedStore(store),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

const cases: [string, string, typeof layer, boolean][] = [
  ["a layer through its repository", REPO, layer, true],
  ["a config through its repository", REPO, config, true],
  ["a manifest of the repository", REPO, manifest, true],
  ["a layer through another repository", "registry.example/other", layer, false],
  ["a layer through a repository of another host", "other.example/team/app", layer, false],
  ["a manifest through another repository", "registry.example/stray", manifest, false],
  ["a layer through the path without the host", "docker.io/team/app", layer, false],
  ["a blob of another repository", REPO, stray, false],
  ["a blob without a manifest through its repository", "registry.example/stray", stray, true],
];
for (const [what, repo, { descriptor }, isServed] of cases) {
  Deno.test(`[74] LinkedStore ${isServed ? "serves" : "does not serve"} ${what}`, async () => {
    await using it = await openStores();
    const opened = await it.linked.openBlob(repo, descriptor.digest);
    await opened?.body.cancel();
    const size = isServed ? descriptor.size : undefined;
    assertEquals([await it.linked.statBlob(repo, descriptor.digest), opened?.size], [size, size]);
    // The store itself gives all content to all writers.
    assertEquals(await it.store.statBlob(repo, descriptor.digest), descriptor.size);
  });
}

Deno.test("[74] LinkedStore serves a blob that only a manifest of the repository names", async () => {
  await using it = await openStores();
  await Deno.remove(`${it.root}/${layerLinkPath(REPO, layer.descriptor.digest)}`);
  const fresh = new LinkedStore(new DiskStore(it.root));
  assertEquals(await fresh.statBlob(REPO, layer.descriptor.digest), 2000);
  assertEquals(await fresh.statBlob(REPO, stray.descriptor.digest), undefined);
  // A manifest that was added later counts as well.
  const later = makeManifest(config, [stray]);
  await it.store.writeManifest(REPO, later.descriptor, later.bytes);
  await Deno.remove(`${it.root}/${layerLinkPath(REPO, stray.descriptor.digest)}`);
  assertEquals(await fresh.statBlob(REPO, stray.descriptor.digest), 500);
});

for (const written of ["library/app", "app"]) {
  Deno.test(`[74] LinkedStore serves the blobs of docker.io/library/app filed as ${written}`, async () => {
    await using it = await openStores(written);
    assertEquals(await it.linked.statBlob("docker.io/library/app", layer.descriptor.digest), 2000);
    assertEquals(await it.linked.statBlob("docker.io/library/other", layer.descriptor.digest), undefined);
  });
}

Deno.test("[74] an ingest links its blob to the repository when it is committed, not before", async () => {
  await using it = await openStores();
  const blob = makeBlob(300, 9);
  const { digest } = blob.descriptor;
  const ingest = await it.linked.openIngest(digest, REPO);
  await ingest.write(blob.bytes);
  ingest.expectSize(300);
  assertEquals(await it.store.isLinkedBlob(REPO, digest), false);
  await ingest.commit();
  assertEquals(await it.linked.statBlob(REPO, digest), 300);
  assertEquals(await it.linked.statBlob("registry.example/other", digest), undefined);
});

Deno.test("[74] typeOfManifest() gives the type of a manifest of the repository only", async () => {
  await using it = await openStores();
  assertEquals(await it.linked.typeOfManifest(REPO, index.descriptor.digest), index.descriptor.mediaType);
  for (const digest of [layer.descriptor.digest, UNKNOWN_DIGEST]) {
    assertEquals(await it.linked.typeOfManifest(REPO, digest), undefined);
  }
  assertEquals(await it.linked.typeOfManifest("registry.example/stray", index.descriptor.digest), undefined);
});
