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

Deno.test("listTaggedImages() reads each of several indexes that list each other twice once", async () => {
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
  // The lowest index lists the manifest twice.
  assertEquals(store.reads, DEPTH + 2);
});
