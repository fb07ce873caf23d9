import { declaredSizes } from "../bundle/declared_sizes.ts";
import { rootDigest } from "../bundle/image_graph.ts";
import { readPackageGraphs } from "../bundle/package_graphs.ts";
import type { ContentStore } from "../content/source.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { repositoryOf } from "../oci/reference.ts";

/**
 * Reports whether a store has all content of a package: its blobs, and every image under its tag. Blobs are compared by
 * size only; they are not read.
 *
 * @param statBlob the size in bytes of a blob that the store holds
 */
export async function holdsAll(
  { kubepkg, what }: { readonly kubepkg: KubePkg; readonly what: string },
  store: ContentStore,
  statBlob: (digest: Digest) => Promise<number | undefined>,
): Promise<boolean> {
  const declared = declaredSizes(kubepkg, what);
  for (const [digest, size] of declared ?? []) {
    if (await statBlob(digest) !== size) return false;
  }
  for (const image of imagesOf(kubepkg)) {
    const digest = rootDigest(kubepkg, image, what);
    const found = await store.resolve(repositoryOf(image.reference), image.reference.tag ?? digest);
    if (found?.digest !== digest) return false;
  }
  for (const { name, tag, digest } of referrersOf(kubepkg)) {
    if (await store.resolve(name, digest) === undefined) return false;
    // Another package with the same image may have brought a later signature under the tag.
    if (tag !== undefined && await store.resolve(name, tag) === undefined) return false;
  }
  if (declared !== undefined) return true;
  // A bundle of earlier tools does not list its digests: the manifests in the store list them instead.
  try {
    const { missing } = await readPackageGraphs(kubepkg, {
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
