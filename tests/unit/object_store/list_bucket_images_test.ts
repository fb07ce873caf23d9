import { SharedFiles } from "../../../lib/bytes/shared_files.ts";
import { listBucketImages } from "../../../lib/object_store/list_bucket_images.ts";
import { ObjectStore } from "../../../lib/object_store/object_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { type Content, makeBlob, makeIndex, makeManifest, streamOf } from "../../support/content.ts";
import { MemoryS3 } from "../../support/memory_s3.ts";

const [config, layer, other] = [makeBlob(100, 1), makeBlob(500, 2), makeBlob(50, 3)];
const [first, second] = [makeManifest(config, [layer]), makeManifest(other, [])];
const index = makeIndex([first, second]);
const signature = makeManifest(other, [layer]);
const sbom = makeManifest(config, [], first);
const loose = makeManifest(layer, []);

function digestsOf(...contents: readonly Content[]) {
  return contents.map(({ descriptor: { digest } }) => digest).sort();
}

Deno.test("[103] listBucketImages() gives each image its children, wherever they are linked, its referrers and its signatures", async () => {
  const s3 = new MemoryS3();
  const store = new ObjectStore({ client: s3.client(), spool: "/nonexistent", files: new SharedFiles() });
  for (const { descriptor, bytes } of [config, layer, other]) {
    for (const repo of ["a.test/app", "b.test/app"]) await store.writeBlob(repo, descriptor, streamOf(bytes));
  }
  // Only the second repository has all children of the index.
  for (
    const [repo, contents] of [["a.test/app", [first, index]], ["b.test/app", [
      first,
      second,
      index,
      loose,
      sbom,
    ]]] as const
  ) {
    for (const { descriptor, bytes } of contents) await store.writeManifest(repo, descriptor, bytes);
    await store.tag(repo, "1", index.descriptor.digest);
  }
  await store.writeManifest("b.test/app", signature.descriptor, signature.bytes);
  const tag = `${index.descriptor.digest.replace(":", "-")}.sig`;
  await store.tag("b.test/app", tag, signature.descriptor.digest);

  const images = await listBucketImages(s3.client(), store);
  assertEquals(images.map(({ root, tags, digests }) => ({ root, tags, digests: [...digests].sort() })), [{
    root: index.descriptor.digest,
    tags: [{ repo: "a.test/app", tag: "1" }, { repo: "b.test/app", tag: "1" }],
    digests: digestsOf(index, first, second, config, layer, other, signature, sbom),
  }]);
});
