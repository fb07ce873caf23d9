import type { Digest } from "../oci/digest.ts";

/** What a manifest names. */
export interface ManifestLinks {
  /** Of an index. */
  readonly manifests: readonly Digest[];
  /** Config and layers, with their sizes in bytes. */
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
  /** What it refers to; that can be missing. */
  readonly subject?: Digest;
}

/** What there is to go through. */
export interface Graph {
  /** What is needed for itself. */
  readonly roots: Iterable<Digest>;
  /** What a manifest names; `undefined` where there is none, or the digest is not a manifest's. */
  readonly read: (digest: Digest) => Promise<ManifestLinks | undefined>;
  /** The manifests whose subject something is: they stay as long as it does. */
  readonly referrersOf?: (subject: Digest) => Iterable<Digest>;
}

/** The digests of all that is needed: the roots, what they name, and what refers to one of these. */
export async function markReachable({ roots, read, referrersOf = () => [] }: Graph): Promise<Set<Digest>> {
  const marked = new Set<Digest>();
  // What was marked as a blob may turn out to be a manifest too.
  const seen = new Set<Digest>();
  const waiting = [...roots];
  for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
    if (seen.has(digest)) continue;
    seen.add(digest);
    marked.add(digest);
    waiting.push(...referrersOf(digest));
    const links = await read(digest);
    if (links === undefined) continue;
    for (const blob of links.blobs) marked.add(blob.digest);
    waiting.push(...links.manifests);
  }
  return marked;
}
