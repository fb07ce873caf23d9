import type { Digest } from "../../lib/oci/digest.ts";
import type { Descriptor } from "../../lib/oci/manifest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { blobPath } from "../../lib/store/layout.ts";
import { buildImage, type BuiltImage } from "../../tests/support/images.ts";
import { makeKubePkg } from "../../tests/support/kubepkg.ts";
import { makeLargeLayer } from "../../tests/support/large_blob.ts";
import { writeImage } from "../../tests/support/put_image.ts";

/** An image in the store that all contenders use. */
export interface BenchImage {
  /** `bench/large`, the repository's name on the upstream. */
  readonly path: string;
  /** `registry.test/bench/large`, its name in crpe. */
  readonly repo: string;
  /** The image's manifest. */
  readonly manifest: Descriptor;
  /** Its large layer. */
  readonly layer: { readonly digest: Digest; readonly size: number; readonly file: string };
}

/** The content that all contenders use. */
export interface BenchContent {
  /** A data folder that both crpe and distribution can serve, since they use the same layout. */
  readonly dataDir: string;
  readonly large: BenchImage;
  /** The image for many concurrent clients. */
  readonly small: BenchImage;
  /** The path of a KubePkg of the large image. */
  readonly kubepkg: string;
  /** The path of an OCI image layout of the large image; its blobs are hard links to those in `dataDir`. */
  readonly ociLayout: string;
}

/** The registry host in the images' names. */
export const HOST = "registry.test";
/** The tag of every image. */
export const TAG = "1";

const SMALL_BYTES = 64 * 1024 * 1024;

/** Writes incompressible images with one large layer each. @param size the size of the layer, in bytes */
export async function createContent(root: string, size: number): Promise<BenchContent> {
  const dataDir = `${root}/store`;
  const store = new DiskStore(dataDir);
  const write = async (path: string, image: BuiltImage): Promise<BenchImage> => {
    const repo = `${HOST}/${path}`;
    for (const name of [path, repo]) await writeImage(store, `${name}:${TAG}`, image);
    const [layer] = image.largeBlobs.values();
    const { digest, size } = layer!;
    return { path, repo, manifest: image.root, layer: { digest, size, file: `${dataDir}/${blobPath(digest)}` } };
  };
  const largeImage = buildImage({ largeLayer: makeLargeLayer(size) });
  const large = await write("bench/large", largeImage);
  const small = await write("bench/small", buildImage({ largeLayer: makeLargeLayer(Math.min(size, SMALL_BYTES), 2) }));
  const kubepkg = `${root}/bench.json`;
  await Deno.writeTextFile(kubepkg, JSON.stringify(makeKubePkg({ [`${large.repo}:${TAG}`]: "" })));
  return { dataDir, large, small, kubepkg, ociLayout: await linkOciLayout(`${root}/layout`, dataDir, largeImage) };
}

async function linkOciLayout(folder: string, dataDir: string, image: BuiltImage): Promise<string> {
  const blobs = `${folder}/blobs/sha256`;
  await Deno.mkdir(blobs, { recursive: true });
  const digests = [
    ...image.manifests.map(({ descriptor }) => descriptor.digest),
    ...image.blobs.keys(),
    ...image.largeBlobs.keys(),
  ];
  for (const digest of digests) await Deno.link(`${dataDir}/${blobPath(digest)}`, `${blobs}/${digest.slice(7)}`);
  const { mediaType, digest, size } = image.root;
  const annotations = { "org.opencontainers.image.ref.name": TAG };
  const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size, annotations }] };
  await Deno.writeTextFile(`${folder}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }));
  await Deno.writeTextFile(`${folder}/index.json`, JSON.stringify(index));
  return folder;
}
