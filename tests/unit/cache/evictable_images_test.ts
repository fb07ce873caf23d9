import { listEvictableImages } from "../../../lib/cache/evictable_images.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { ManifestReader } from "../../../lib/store/manifest_reader.ts";
import { listBlobSizes } from "../../../lib/store/store_scan.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const LEVELS = 10;
const config = makeBlob(100, 1);
const other = makeBlob(100, 2);

for (
  const [what, blobs, isComplete] of [
    ["with all blobs of an image", [config], true],
    ["without the blobs", [], false],
  ] as [string, Content[], boolean][]
) {
  Deno.test(`[89] listEvictableImages() reads each manifest a few times where indexes nest, ${what}`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    for (const { descriptor, bytes } of blobs) await store.writeBlob(REPO, descriptor, streamOf(bytes));
    let level = [makeManifest(other, []), makeManifest(config, [])];
    const manifests = [...level];
    for (let i = 0; i < LEVELS; i++) {
      level = [makeIndex(level), makeIndex([...level].reverse())];
      manifests.push(...level);
    }
    for (const { descriptor, bytes } of manifests) await store.writeManifest(REPO, descriptor, bytes);
    const reader = new ManifestReader(folder.path);
    let reads = 0;
    const read = (digest: Digest) => {
      reads++;
      return reader.read(digest);
    };
    const images = await listEvictableImages(folder.path, read, await listBlobSizes(folder.path));
    assertEquals(
      images.map((image) => `${image.root} ${image.isComplete}`).sort(),
      level.map(({ descriptor }) => `${descriptor.digest} ${isComplete}`).sort(),
    );
    assert(reads < manifests.length * 5, `${reads} reads of ${manifests.length} manifests`);
  });
}
