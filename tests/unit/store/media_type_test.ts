import { computeDigest } from "../../../lib/oci/digest.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { forgetImages } from "../../../lib/store/forget_images.ts";
import { collectGarbage } from "../../../lib/store/gc.ts";
import { mediaTypePath, revisionLinkPath } from "../../../lib/store/layout.ts";
import { moveAside, restoreTrash } from "../../../lib/store/trash.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBlob, streamOf } from "../../support/content.ts";
import { TestFolder } from "../../support/test_folder.ts";

const REPO = "registry.example/team/app";
const config = makeBlob(100, 1);
/** Makes a manifest that does not state its media type. The spaces make each one different. */
function makeUntyped(spaces: number, mediaType?: string) {
  const text = JSON.stringify({ schemaVersion: 2, mediaType, config: config.descriptor, layers: [] });
  const bytes = new TextEncoder().encode(text + " ".repeat(spaces));
  return { bytes, digest: computeDigest(bytes), size: bytes.length };
}

async function openStore(mediaType: string, manifest = makeUntyped(1)) {
  const folder = await TestFolder.create();
  const store = new DiskStore(folder.path);
  await store.writeBlob(REPO, config.descriptor, streamOf(config.bytes));
  await store.writeManifest(REPO, { mediaType, digest: manifest.digest, size: manifest.size }, manifest.bytes);
  await store.tag(REPO, "1", manifest.digest);
  const path = mediaTypePath(revisionLinkPath(REPO, manifest.digest))!;
  return {
    folder,
    root: folder.path,
    store,
    manifest,
    fresh: () => new DiskStore(folder.path),
    hasFile: () => Deno.lstat(`${folder.path}/${path}`).then(() => true, () => false),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

for (const mediaType of [MEDIA_TYPE.dockerManifest, MEDIA_TYPE.ociManifest]) {
  Deno.test(`[74] DiskStore keeps the type ${mediaType} of a manifest that states none`, async () => {
    await using it = await openStore(mediaType);
    for (const store of [it.store, it.fresh()]) {
      for (const reference of ["1", it.manifest.digest]) {
        assertEquals((await store.resolve(REPO, reference))?.mediaType, mediaType);
      }
    }
    assertEquals(await it.hasFile(), true);
  });
}

Deno.test("[74] DiskStore keeps the type that was stated first", async () => {
  await using it = await openStore(MEDIA_TYPE.dockerManifest);
  const { digest, size, bytes } = it.manifest;
  for (const store of [it.store, it.fresh()]) {
    await store.writeManifest(REPO, { mediaType: MEDIA_TYPE.ociManifest, digest, size }, bytes.slice());
    assertEquals((await store.resolve(REPO, digest))?.mediaType, MEDIA_TYPE.dockerManifest);
  }
});

Deno.test("[74] DiskStore keeps the type of each repository", async () => {
  await using it = await openStore(MEDIA_TYPE.dockerManifest);
  const { digest, size, bytes } = it.manifest;
  await it.store.writeManifest("other.example/x", { mediaType: MEDIA_TYPE.ociManifest, digest, size }, bytes.slice());
  assertEquals((await it.fresh().resolve(REPO, digest))?.mediaType, MEDIA_TYPE.dockerManifest);
  assertEquals((await it.fresh().resolve("other.example/x", digest))?.mediaType, MEDIA_TYPE.ociManifest);
});

Deno.test("[74] DiskStore writes no file for a manifest that states its type, and does not believe another type", async () => {
  await using it = await openStore(MEDIA_TYPE.dockerManifest, makeUntyped(2, MEDIA_TYPE.ociManifest));
  assertEquals(await it.hasFile(), false);
  assertEquals((await it.fresh().resolve(REPO, "1"))?.mediaType, MEDIA_TYPE.ociManifest);
});

Deno.test("[74] a file with a text that is no media type is ignored", async () => {
  await using it = await openStore(MEDIA_TYPE.dockerManifest, makeUntyped(3));
  await Deno.writeTextFile(`${it.root}/${mediaTypePath(revisionLinkPath(REPO, it.manifest.digest))}`, "x\r\ny: z");
  assertEquals((await it.fresh().resolve(REPO, "1"))?.mediaType, MEDIA_TYPE.ociManifest);
});

Deno.test("[74] the file of a type is removed with its manifest, and the folder of the repository too", async () => {
  await using it = await openStore(MEDIA_TYPE.dockerManifest, makeUntyped(4));
  const before = await it.fresh().listManifests(REPO);
  await forgetImages(it.root, [{ repository: REPO, tag: "1", digest: it.manifest.digest }], new Set());
  await collectGarbage(it.root);
  assertEquals([before.length, await it.fresh().listManifests(REPO)], [1, []]);
  assertEquals((await it.folder.listFiles()).filter((path) => path.includes("registry.example")), []);
});

Deno.test("[74] the file of a type comes back with its link after an interrupted collection", async () => {
  await using it = await openStore(MEDIA_TYPE.dockerManifest, makeUntyped(5));
  await moveAside(it.root, revisionLinkPath(REPO, it.manifest.digest));
  assertEquals(await it.hasFile(), false);
  await restoreTrash(it.root);
  assertEquals((await it.fresh().resolve(REPO, "1"))?.mediaType, MEDIA_TYPE.dockerManifest);
  assertEquals(await it.folder.listFiles("ingest/trash").catch(() => []), []);
});
