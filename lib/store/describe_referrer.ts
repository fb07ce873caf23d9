import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { CachedManifest } from "./manifest_cache.ts";

/**
 * Returns the descriptor that lists a manifest as a referrer of `subject`. `artifactType` and `annotations` are set as
 * the OCI distribution specification requires ("Listing Referrers"). `undefined` if the manifest has another `subject`.
 */
export function describeReferrer({ descriptor, manifest }: CachedManifest, subject: Digest): Descriptor | undefined {
  if (manifest.subject?.digest !== subject) return undefined;
  const artifactType = manifest.artifactType ??
    (manifest.kind === "manifest" ? manifest.config?.mediaType : undefined);
  return {
    ...descriptor,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(manifest.annotations === undefined ? {} : { annotations: manifest.annotations }),
  };
}

/** The manifests of a store, by repository. */
interface ManifestLists {
  list(repo: string): Promise<readonly Digest[]>;
  load(repo: string, digest: Digest): Promise<CachedManifest | undefined>;
}

/** Lists the manifests of some repositories that refer to `subject`; see `describeReferrer`. */
export async function listReferrers(
  repositories: readonly string[],
  subject: Digest,
  { list, load }: ManifestLists,
): Promise<Descriptor[]> {
  const referrers: Descriptor[] = [];
  for (const name of repositories) {
    for (const candidate of await list(name)) {
      const manifest = await load(name, candidate);
      const referrer = manifest && describeReferrer(manifest, subject);
      if (referrer !== undefined) referrers.push(referrer);
    }
  }
  return referrers;
}
