import { readSmallBlob } from "../content/read_small_blob.ts";
import type { ContentSource } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST_BYTES, parseManifest, successorsOf } from "../oci/manifest.ts";
import { formatReference, type Reference, repositoryOf } from "../oci/reference.ts";
import { type ImageGraph, readGraph } from "./image_graph.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** A store does not have an image, or not all its content. */
export class NotHeldError extends CrpeError {}

/**
 * Reads an image of a store with those of its manifests whose content is complete there.
 *
 * @param action the verb in errors: `Cannot save …`
 * @throws {NotHeldError} when the store does not have the image, or none of its platforms completely
 */
export async function readHeldImage(reference: Reference, store: ContentSource, action: string): Promise<ImageGraph> {
  const name = formatReference(reference);
  const root = await store.resolve(repositoryOf(reference), reference.digest ?? reference.tag ?? "latest");
  if (root === undefined) {
    throw new NotHeldError(cannot(`${action} ${name}`, "it is not in the store", `pull it first (crpe pull ${name})`));
  }
  const { graph, missing } = await readComplete(reference, root.digest, { source: store, what: "the store" });
  if (missing.size === 0) return graph;
  throw new NotHeldError(
    cannot(`${action} ${name}`, "the store does not have all its content", `complete it with crpe pull ${name}`),
  );
}

/**
 * Reads an image of a store with an upstream behind it. Manifests that the store lacks are fetched, blobs are not.
 *
 * @param action the verb in errors: `Cannot copy …`
 * @throws {Error} when neither has the image
 */
export async function readSourceImage(
  reference: Reference,
  source: ContentSource,
  action: string,
): Promise<ImageGraph> {
  const [name, repository] = [formatReference(reference), repositoryOf(reference)];
  const wanted = reference.digest ?? reference.tag ?? "latest";
  const root = await source.resolve(repository, wanted);
  if (root === undefined) {
    const why = await source.explainMissing?.(repository, wanted);
    const where = why === undefined ? "in the store or at its registry" : `(${why.reason})`;
    throw new CrpeError(
      cannot(`${action} ${name}`, `the image was not found ${where}`, "crpe doctor IMAGE shows where crpe looked"),
    );
  }
  const { graph, missing } = await readComplete(reference, root.digest, { source, what: reference.host });
  if (missing.size === 0) return graph;
  throw new CrpeError(cannot(`${action} ${name}`, `${reference.host} does not have ${[...missing].join(", ")} of it`));
}

async function readComplete(
  reference: Reference,
  digest: Digest,
  { source: store, what }: { readonly source: ContentSource; readonly what: string },
): Promise<{ graph: ImageGraph; missing: Set<Digest> }> {
  const repository = repositoryOf(reference);
  const holdsAll = async (bytes: Uint8Array, mediaType?: string) => {
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind === "index") return true;
    for (const { digest, size } of successorsOf(manifest)) {
      if (await store.statBlob(repository, digest) !== size) return false;
    }
    return true;
  };
  const missing = new Set<Digest>();
  const graph = await readGraph({ reference, name: formatReference(reference), digest }, {
    what,
    readManifest: async (repo, digest) => {
      const bytes = await store.readManifest(repo, digest) ??
        await readSmallBlob(store, repo, { digest, limit: MAX_MANIFEST_BYTES });
      return bytes !== undefined && await holdsAll(bytes) ? bytes : undefined;
    },
    statBlob: (digest) => store.statBlob(repository, digest),
  }, missing);
  return { graph, missing };
}
