import type { ContentSource } from "../content/source.ts";
import { type Descriptor, isIndexType, isManifestType, parseManifest, successorsOf } from "../oci/manifest.ts";

// Caches the references of manifests, by the byte array that the store's own cache holds. Parsing a manifest costs more
// than checking that its blobs exist.
const successorsByBytes = new WeakMap<Uint8Array, readonly Descriptor[]>();

/**
 * Reports whether an image can be pulled from a source: whether it has every blob of a manifest, or of at least one
 * manifest of an index. Meant for a store: an upstream would receive a request for each blob.
 */
export async function isComplete(source: ContentSource, repo: string, root: Descriptor): Promise<boolean> {
  const bytes = await source.readManifest(repo, root.digest);
  if (bytes === undefined) return false;
  let successors = successorsByBytes.get(bytes);
  if (successors === undefined) {
    successors = successorsOf(parseManifest(bytes, root.mediaType));
    successorsByBytes.set(bytes, successors);
  }
  if (!isIndexType(root.mediaType)) {
    for (const { digest, size } of successors) {
      if (await source.statBlob(repo, digest) !== size) return false;
    }
    return true;
  }
  for (const child of successors) {
    if (isManifestType(child.mediaType) && await isComplete(source, repo, child)) return true;
  }
  return successors.length === 0;
}
