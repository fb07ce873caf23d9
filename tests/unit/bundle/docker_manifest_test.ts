import { findDockerImage } from "../../../lib/bundle/docker_manifest.ts";
import type { Descriptor } from "../../../lib/oci/manifest.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeImage, makeMultiImage } from "./bundle_support.ts";

const { root, blobs } = makeImage("linux/amd64");
const config = blobs[0]!.descriptor;
const layerOf = (mediaType: string): Descriptor => ({ ...blobs[1]!.descriptor, mediaType });
for (
  const [mediaType, isImage] of [
    ["application/vnd.oci.image.layer.v1.tar", true],
    ["application/vnd.oci.image.layer.v1.tar+zstd", true],
    ["application/vnd.docker.image.rootfs.diff.tar.gzip", true],
    ["application/wasm", false],
    ["application/vnd.dev.cosign.simplesigning.v1+json", false],
    ["application/vnd.in-toto+json", false],
  ] as const
) {
  Deno.test(`[113] findDockerImage() takes a manifest with the layer ${mediaType} for an image: ${isImage}`, () => {
    const layer = layerOf(mediaType);
    const manifest = { descriptor: root.descriptor, platform: "linux/amd64", blobs: [config, layer], children: [] };
    const expected = isImage ? { config, layers: [layer] } : undefined;
    assertEquals(findDockerImage(manifest), expected);
    // Of an index, docker gets the first image.
    const other = layerOf("application/vnd.oci.image.layer.v1.tar");
    const index = makeMultiImage([]).root.descriptor;
    const children = [manifest, { ...manifest, blobs: [config, other] }];
    assertEquals(
      findDockerImage({ descriptor: index, blobs: [], children }),
      expected ?? { config, layers: [other] },
    );
  });
}
