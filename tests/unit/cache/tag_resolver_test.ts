import { PullThrough } from "../../../lib/cache/pull_through.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { blobPath } from "../../../lib/store/layout.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeManifest, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const [config, layer] = [makeBlob(200, 1), makeBlob(3000, 2)] as const;
const image = makeManifest(config, [layer]);

class CountingStore extends DiskStore {
  stats = 0;
  override statBlob(...args: Parameters<DiskStore["statBlob"]>) {
    this.stats++;
    return super.statBlob(...args);
  }
}

Deno.test("the blobs of an image that is served by its tag without an upstream are looked at once a second", async () => {
  await using folder = await TestFolder.create();
  const store = new CountingStore(folder.path);
  for (const { descriptor, bytes } of [config, layer]) await store.writeBlob(REPO, descriptor, streamOf(bytes));
  await store.writeManifest(REPO, image.descriptor, image.bytes);
  await store.tag(REPO, "1.0", image.descriptor.digest);
  let time = 0;
  const cache = new PullThrough({ store, upstream: undefined, now: () => time });
  store.stats = 0;
  for (let i = 0; i < 10; i++) assertEquals(await cache.resolve(REPO, "1.0"), image.descriptor);
  assertEquals(store.stats, 2);
  time += 1000;
  for (let i = 0; i < 10; i++) await cache.resolve(REPO, "1.0");
  assertEquals(store.stats, 4);
  await Deno.remove(`${folder.path}/${blobPath(layer.descriptor.digest)}`);
  time += 1000;
  // An incomplete image is checked for each request, because it may be complete at any moment.
  for (let i = 0; i < 3; i++) {
    assertEquals(await cache.resolve(REPO, "1.0"), { ...image.descriptor, isIncomplete: true });
  }
  assertEquals(store.stats, 10);
});
