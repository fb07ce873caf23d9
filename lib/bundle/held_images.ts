import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_BYTES, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";
import { type ImageGraph, readGraph } from "./image_graph.ts";

/**
 * Reads an image of a store with those of its manifests whose content is complete there.
 *
 * @param action the verb in errors: `Cannot save …`
 * @throws {Error} when the store does not have the image, or none of its platforms completely
 */
export async function readHeldImage(reference: Reference, store: ContentSource, action: string): Promise<ImageGraph> {
  const [name, repository] = [formatReference(reference), repositoryOf(reference)];
  const root = await store.resolve(repository, reference.digest ?? reference.tag ?? "latest");
  if (root === undefined) {
    throw new Error(`Cannot ${action} ${name}: it is not in the store; pull it first (crpe pull ${name})`);
  }
  const holdsAll = async (bytes: Uint8Array, mediaType?: string) => {
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind === "index") return true;
    for (const { digest, size } of successorsOf(manifest)) {
      if (await store.statBlob(repository, digest) !== size) return false;
    }
    return true;
  };
  const missing = new Set<Digest>();
  const graph = await readGraph({ reference, name, digest: root.digest }, {
    what: "the store",
    readManifest: async (repo, digest) => {
      const bytes = await store.readManifest(repo, digest) ??
        await readSmallBlob(store, repo, { digest, limit: MAX_MANIFEST_BYTES });
      return bytes !== undefined && await holdsAll(bytes) ? bytes : undefined;
    },
    statBlob: (digest) => store.statBlob(repository, digest),
  }, missing);
  if (missing.size === 0) return graph;
  throw new Error(
    `Cannot ${action} ${name}: the store does not have all its content; complete it with crpe pull ${name}`,
  );
}
