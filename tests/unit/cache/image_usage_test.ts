import { measureFreed } from "../../../lib/cache/image_usage.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { TestFolder } from "../../support/test_folder.ts";

const image = buildImage({ files: [{ "a.txt": "a" }] });
const SIZE = [...image.blobs.values()].reduce((sum, { length }) => sum + length, 0) + image.root.size;

for (
  const [filed, reference, freed] of [
    ["docker.io/library/nginx", "docker.io/library/nginx:1", SIZE],
    ["library/nginx", "docker.io/library/nginx:1", SIZE],
    ["nginx", "docker.io/library/nginx:1", SIZE],
    ["team/nginx", "docker.io/team/nginx:1", SIZE],
    ["registry.test:443/nginx", "registry.test/nginx:1", SIZE],
    ["nginx", `docker.io/library/nginx@${image.root.digest}`, 0],
    ["nginx", "docker.io/library/nginx:2", 0],
    ["nginx", "docker.io/team/nginx:1", 0],
  ] as const
) {
  Deno.test(`measureFreed() counts ${freed} bytes for ${reference} where it is filed as ${filed}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    for (const [digest, bytes] of image.blobs) {
      const content = new Blob([bytes as Uint8Array<ArrayBuffer>]).stream();
      await store.writeBlob(filed, { mediaType: "", digest, size: bytes.length }, content);
    }
    for (const { descriptor, bytes } of image.manifests) await store.writeManifest(filed, descriptor, bytes);
    await store.tag(filed, "1", image.root.digest);
    assertEquals(await measureFreed(folder.path, [reference]), freed);
  });
}
