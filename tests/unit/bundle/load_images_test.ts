import { gzipSync } from "node:zlib";
import { openImageEntries } from "../../../lib/bundle/image_entries.ts";
import { loadImages } from "../../../lib/bundle/load_images.ts";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { parseManifest } from "../../../lib/oci/manifest.ts";
import { addBlob } from "../../../lib/store/add_blob.ts";
import { DiskStore } from "../../../lib/store/disk_store.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeTar } from "../../support/tar.ts";
import { TestFolder } from "../../support/test_folder.ts";

// An archive of crane: its layers are compressed, and the manifest is made from the config.
const layer = makeTar({ "a.txt": "a" });
const compressed = new Uint8Array(gzipSync(layer));
const config = JSON.stringify({
  os: "linux",
  architecture: "amd64",
  rootfs: { type: "layers", diff_ids: [computeDigest(layer)] },
});
const ARCHIVE = makeTar({
  "config.json": config,
  [`${"a".repeat(64)}.tar.gz`]: compressed,
  "manifest.json": JSON.stringify([
    { Config: "config.json", RepoTags: ["registry.test/app:1"], Layers: [`${"a".repeat(64)}.tar.gz`] },
  ]),
});

function streamInPieces(bytes: Uint8Array, length: number): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += length));
    },
  });
}

for (const length of [1, 3, 513, ARCHIVE.length]) {
  Deno.test(`loadImages() sees the compression of a layer in an archive that arrives ${length} bytes at a time`, async () => {
    await using folder = await TestFolder.create();
    const store = new DiskStore(folder.path);
    const options = { what: "a.tar", addBlob: (body: ReadableStream<Uint8Array>) => addBlob(folder.path, body) };
    const [image] = await loadImages(
      await openImageEntries(streamInPieces(ARCHIVE, length), "a.tar"),
      store,
      options,
    );
    const manifest = parseManifest((await store.readManifest("registry.test/app", image!.digest))!);
    assertEquals(
      manifest.kind === "manifest" && manifest.layers.map(({ mediaType, digest, size }) => [mediaType, digest, size]),
      [
        ["application/vnd.oci.image.layer.v1.tar+gzip", computeDigest(compressed), compressed.length],
      ],
    );
  });
}
