import type { ContentStore } from "../content/source.ts";
import { imagesOf } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { repositoryOf } from "../oci/reference.ts";
import { readImageGraphs, rootDigest } from "./image_graph.ts";
import type { BundleReader } from "./read_bundle.ts";

/**
 * Tells whether a store has all that a bundle brings: its blobs, and every image under its tag. That blobs are there is
 * told by their sizes; they are not read.
 *
 * @param statBlob the size in bytes of a blob that the store holds
 */
export async function isContentInPlace(
  { kubepkg, declared, what }: Pick<BundleReader, "kubepkg" | "declared" | "what">,
  store: ContentStore,
  statBlob: (digest: Digest) => Promise<number | undefined>,
): Promise<boolean> {
  for (const [digest, size] of declared ?? []) {
    if (await statBlob(digest) !== size) return false;
  }
  for (const image of imagesOf(kubepkg)) {
    const digest = rootDigest(kubepkg, image, what);
    const found = await store.resolve(repositoryOf(image.reference), image.reference.tag ?? digest);
    if (found?.digest !== digest) return false;
  }
  if (declared !== undefined) return true;
  // A bundle that does not list what it has: the store's own manifests tell it.
  try {
    const { missing } = await readImageGraphs(kubepkg, {
      what,
      readManifest: (repository, digest) => store.readManifest(repository, digest),
      statBlob,
    });
    return missing.length === 0;
  } catch (error) {
    if (error instanceof CorruptError) return false;
    throw error;
  }
}
