import { DiskStore } from "../../../lib/store/disk_store.ts";
import { listTaggedImages } from "../../../lib/store/list_images.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, makeIndex, makeManifest, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const DEPTH = 12;

class CountingStore extends DiskStore {
  reads = 0;
  override readManifest(...args: Parameters<DiskStore["readManifest"]>) {
    this.reads++;
    return super.readManifest(...args);
  }
}

Deno.test("listTaggedImages() reads each manifest once, of several indexes that list each other twice", async () => {
  await using folder = await TestFolder.create();
  const store = new CountingStore(folder.path);
  const config = makeBlob(10, 1);
  await store.writeBlob(REPO, config.descriptor, streamOf(config.bytes));
  let top = makeManifest(config, []);
  await store.writeManifest(REPO, top.descriptor, top.bytes);
  let size = config.bytes.length + top.bytes.length;
  for (let i = 0; i < DEPTH; i++) {
    top = makeIndex([top, top]);
    size += top.bytes.length;
    await store.writeManifest(REPO, top.descriptor, top.bytes);
  }
  await store.tag(REPO, "1", top.descriptor.digest);
  const images = await listTaggedImages(store);
  assertEquals(images.map((image) => [image.reference, image.size, image.isComplete]), [[`${REPO}:1`, size, true]]);
  assertEquals(store.reads, DEPTH + 1);
});

class PagedStore extends DiskStore {
  readonly limits: (number | undefined)[] = [];
  override listRepositories(options: Parameters<DiskStore["listRepositories"]>[0]) {
    this.limits.push(options?.limit);
    return super.listRepositories({ ...options, limit: 2 });
  }
}

Deno.test("listTaggedImages() lists all images, but never the names of all repositories at once", async () => {
  await using folder = await TestFolder.create();
  const store = new PagedStore(folder.path);
  const config = makeBlob(10, 1);
  const { descriptor, bytes } = makeManifest(config, []);
  const names = Array.from({ length: 5 }, (_, i) => `registry.example/app${i}`);
  for (const repo of names) {
    await store.writeBlob(repo, config.descriptor, streamOf(config.bytes));
    await store.writeManifest(repo, descriptor, bytes);
    await store.tag(repo, "1", descriptor.digest);
  }
  assertEquals((await listTaggedImages(store)).map(({ reference }) => reference), names.map((repo) => `${repo}:1`));
  assertEquals(store.limits, [1000, 1000, 1000]);
});
