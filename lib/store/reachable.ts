import type { Digest } from "../oci/digest.ts";

/** The content that a manifest references. */
export interface ManifestLinks {
  /** All entries of an index. */
  readonly manifests: readonly Digest[];
  /** Config and layers, or the entries of an index that are no manifests, with their sizes in bytes. */
  readonly blobs: readonly { readonly digest: Digest; readonly size: number }[];
  /** The `subject`, which need not exist. */
  readonly subject?: Digest;
}

/** The graph that `markReachable` walks. */
interface Graph {
  /** Digests where the walk starts. */
  readonly roots: Iterable<Digest>;
  /** Reads what a manifest references; `undefined` if it is missing, or the digest is not that of a manifest. */
  readonly read: (digest: Digest) => Promise<ManifestLinks | undefined>;
  /** Returns the manifests whose `subject` is a digest. They are reachable if the digest is. */
  readonly referrersOf?: (subject: Digest) => Iterable<Digest>;
}

/** Returns the reachable digests: the roots, everything they reference, and the referrers of each of these. */
export async function markReachable({ roots, read, referrersOf = () => [] }: Graph): Promise<Set<Digest>> {
  const marked = new Set<Digest>();
  // Not the same as `marked`: a digest that was marked as a blob may also be that of a manifest.
  const seen = new Set<Digest>();
  const pending = [...roots];
  for (let digest = pending.pop(); digest !== undefined; digest = pending.pop()) {
    if (seen.has(digest)) continue;
    seen.add(digest);
    marked.add(digest);
    pending.push(...referrersOf(digest));
    const links = await read(digest);
    if (links === undefined) continue;
    for (const blob of links.blobs) marked.add(blob.digest);
    pending.push(...links.manifests);
  }
  return marked;
}
