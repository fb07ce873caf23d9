import { knowsModels } from "../delta/models/all.ts";
import type { StatusDelta } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";

/** A blob that is needed, with its size in bytes. */
interface NeededBlob {
  readonly digest: Digest;
  readonly size: number;
}

/**
 * Lists what is missing to rebuild a layer from its delta: its bases, or the layer itself if the delta's compressor model
 * is not known here.
 *
 * @param statBlob the size in bytes of a blob that the store holds
 */
export async function listMissingBases(
  { delta, size }: { readonly delta: StatusDelta; readonly size: number },
  statBlob: (digest: Digest) => Promise<number | undefined>,
): Promise<NeededBlob[]> {
  if (!knowsModels(delta.model)) return [{ digest: delta.digest, size }];
  const missing: NeededBlob[] = [];
  for (const base of delta.bases) if (await statBlob(base.digest) !== base.size) missing.push(base);
  return missing;
}

/** Tests whether a delta needs a blob. */
export function hasBase({ bases }: StatusDelta, digest: Digest): boolean {
  return bases.some((base) => base.digest === digest);
}
