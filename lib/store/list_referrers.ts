import { describeReferrer } from "../oci/describe_referrer.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";
import type { CachedManifest } from "./manifest_cache.ts";

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
