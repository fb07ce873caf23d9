import { type Reference, repositoryOf } from "../oci/reference.ts";
import type { CarriedManifest } from "./bundle_plan.ts";
import { ReferrerFinder, type ReferrerFinderOptions } from "./find_referrers.ts";
import type { GraphManifest, ImageGraph } from "./image_graph.ts";

/** The referrers of an image, each as an image of its own. */
export interface AttachedImages {
  /** Each has a `subject`. Their references have cosign's tag, or their digest. */
  readonly graphs: readonly ImageGraph[];
  /** What was left out, and why; a sentence each, without the name of the image. */
  readonly problems: readonly string[];
}

/**
 * Finds what is attached to the manifests of an image, and reads it, as for a bundle.
 *
 * @param image its repository, and those of its manifests that are taken
 */
export async function findAttachedImages(
  { reference, manifests }: { readonly reference: Reference; readonly manifests: readonly GraphManifest[] },
  options: ReferrerFinderOptions,
): Promise<AttachedImages> {
  const [root, ...children] = manifests.map(({ descriptor }): CarriedManifest => {
    return { descriptor, blobs: [], children: [] };
  }).reverse();
  if (root === undefined) return { graphs: [], problems: [] };
  const finder = new ReferrerFinder(options);
  const { referrers, problems } = await finder.find({ reference, root: { ...root, children } });
  const { host, path } = reference;
  const graphs = referrers.map(({ root, subject, tag }): ImageGraph => {
    const { digest } = root.descriptor;
    return {
      reference: tag === undefined ? { host, path, digest } : { host, path, tag },
      repository: repositoryOf(reference),
      digest,
      platforms: [],
      manifests: [...listChildrenFirst(root)].map(({ descriptor }) => {
        return { descriptor, bytes: finder.manifests.get(descriptor.digest)! };
      }),
      subject,
    };
  });
  return { graphs, problems };
}

function* listChildrenFirst(manifest: CarriedManifest): Generator<CarriedManifest> {
  for (const child of manifest.children) yield* listChildrenFirst(child);
  yield manifest;
}
