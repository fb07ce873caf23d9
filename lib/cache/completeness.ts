import type { ContentSource } from "../content/source.ts";
import { type Descriptor, isIndexType, isManifestType, parseManifest, successorsOf } from "../oci/manifest.ts";

// What a manifest names, by its bytes: a store keeps those it is asked for often, and reading them costs more than looking
// whether the blobs are there.
const known = new WeakMap<Uint8Array, readonly Descriptor[]>();

/**
 * Tells whether a source holds an image so that it can be pulled: every blob of a manifest, and of an index at least
 * one of its manifests whole. Meant for a store; an upstream would be asked for each blob.
 */
export async function isComplete(source: ContentSource, repo: string, root: Descriptor): Promise<boolean> {
  const bytes = await source.readManifest(repo, root.digest);
  if (bytes === undefined) return false;
  let successors = known.get(bytes);
  if (successors === undefined) known.set(bytes, successors = successorsOf(parseManifest(bytes, root.mediaType)));
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
