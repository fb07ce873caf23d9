import { gunzipSync } from "node:zlib";
import { computeDigest } from "../../../lib/oci/digest.ts";
import { parseManifest, successorsOf } from "../../../lib/oci/manifest.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { buildArtifact, buildImage, buildIndex, type BuiltImage } from "../../support/images.ts";
import { makeLargeLayer } from "../../support/large_blob.ts";
import { MemoryStore } from "../../support/memory_store.ts";
import { writeImage } from "../../support/put_image.ts";

// These tests check the images that other tests use.

const makers: [string, () => BuiltImage][] = [
  ["an image", () => buildImage({ files: [{ a: "1" }, { "b/c": new Uint8Array(1000) }] })],
  ["an image with sha512 digests", () => buildImage({ algorithm: "sha512", layerCompression: "none" })],
  ["an image with zstd layers", () => buildImage({ layerCompression: "zstd", files: { a: new Uint8Array(300_000) } })],
  ["an image with Docker media types", () => buildImage({ format: "docker" })],
  ["an image with a large layer", () => buildImage({ largeLayer: makeLargeLayer(3_000_001) })],
  ["an artifact", () => buildArtifact(buildImage().root, "application/x")],
  ["an index", () => buildIndex([buildImage(), buildImage({ platform: "linux/arm64" })], { attestation: true })],
  ["an index of indexes", () => buildIndex([buildIndex([buildImage()]), buildImage()], { algorithm: "sha512" })],
];
for (const [what, make] of makers) {
  Deno.test(`${what} is complete and reproducible`, async () => {
    const image = make();
    assertEquals(make().root, image.root);
    const sizes = new Map([
      ...[...image.blobs].map(([digest, { length }]): [string, number] => [digest, length]),
      ...[...image.largeBlobs].map(([digest, { size }]): [string, number] => [digest, size]),
    ]);
    for (const { descriptor, bytes } of image.manifests) {
      assertEquals([computeDigest(bytes, descriptor.digest.startsWith("sha512") ? "sha512" : "sha256"), bytes.length], [
        descriptor.digest,
        descriptor.size,
      ]);
      for (const { digest, size } of successorsOf(parseManifest(bytes))) assertEquals(sizes.get(digest), size, digest);
      sizes.set(descriptor.digest, descriptor.size);
    }
    assertEquals(image.manifests.at(-1)!.descriptor.digest, image.root.digest);
    // The store hashes each blob.
    await writeImage(new MemoryStore(), "docker.io/library/app:1", image);
  });
}

Deno.test("buildImage() lists the digests of the uncompressed layers in the config", () => {
  const { blobs } = buildImage({ files: { a: "1" } });
  const [layer, config] = [...blobs.values()];
  const { rootfs, architecture } = JSON.parse(new TextDecoder().decode(config));
  assertEquals([rootfs.diff_ids, architecture], [[computeDigest(gunzipSync(layer!))], "amd64"]);
});

Deno.test("makeLargeLayer() depends on its seed and yields bounded chunks", async () => {
  const layer = makeLargeLayer(2_500_000, 1);
  assert(makeLargeLayer(2_500_000, 2).digest !== layer.digest);
  let largest = 0;
  let size = 0;
  for await (const { length } of layer.open()) {
    largest = Math.max(largest, length);
    size += length;
  }
  assertEquals([largest, size], [1024 * 1024, layer.size]);
});
