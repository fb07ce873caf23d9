import type { KubePkg, StatusDelta } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { ENTRY_NAME } from "./entry_names.ts";

/** Most bases of a delta: an image has at most 127 layers. */
const MAX_BASES = 128;
/** Most bases of all deltas of a package: each is looked up in the store before anything is read. */
export const MAX_ALL_BASES = 16_384;

/**
 * Returns the deltas that packages declare in `status.deltas`, by the layer that each makes.
 *
 * @param what name of the bundle in errors
 * @throws {CorruptError} when two deltas make the same layer or have the same digest, a layer is not declared as a blob
 *   of its package or is left out at the same time, a delta has no bases, or there are too many
 */
export function declaredDeltas(packages: readonly KubePkg[], what = "the bundle"): Map<Digest, StatusDelta> {
  const deltas = new Map<Digest, StatusDelta>();
  const refuse = (digest: Digest, reason: string) =>
    new CorruptError(cannot(`use ${ENTRY_NAME.kubepkg} of ${what}`, `status.deltas has ${digest}, ${reason}`));
  const names = new Map<Digest, Digest>();
  for (const { status } of packages) {
    if (status?.deltas === undefined || status.deltas.length === 0) continue;
    const blobs = new Set((status.digests ?? []).filter(({ type }) => type === "blob").map(({ digest }) => digest));
    const manifests = (status.digests ?? []).filter(({ type }) => type === "manifest").map(({ digest }) => digest);
    const others = new Set<Digest>([...status.omitted ?? [], ...manifests]);
    if (status.deltas.reduce((sum, { bases }) => sum + bases.length, 0) > MAX_ALL_BASES) {
      throw new CorruptError(
        cannot(`use ${ENTRY_NAME.kubepkg} of ${what}`, `its status.deltas need more than ${MAX_ALL_BASES} bases`),
      );
    }
    for (const delta of status.deltas) {
      const { digest, bases } = delta;
      if (!blobs.has(digest) || others.has(digest)) {
        throw refuse(digest, "which is not a layer that the bundle carries");
      }
      if (bases.length === 0 || bases.length > MAX_BASES) throw refuse(digest, `which needs 1 to ${MAX_BASES} bases`);
      if (bases.some((base) => base.digest === digest)) throw refuse(digest, "which is its own base");
      const known = deltas.get(digest);
      if (known !== undefined && JSON.stringify(known) !== JSON.stringify(delta)) throw refuse(digest, "twice");
      if ((names.get(delta.delta) ?? digest) !== digest || blobs.has(delta.delta) || others.has(delta.delta)) {
        throw refuse(digest, `whose delta ${delta.delta} is other content too`);
      }
      deltas.set(digest, delta);
      names.set(delta.delta, digest);
    }
  }
  return deltas;
}

/**
 * Returns the digests that the entries of a bundle may have, with their sizes in bytes: those that its packages declare, and
 * their deltas. A part of a split bundle carries a delta as a blob, or in pieces.
 */
export function entrySizes(
  declared: ReadonlyMap<Digest, number> | undefined,
  deltas: ReadonlyMap<Digest, StatusDelta>,
): ReadonlyMap<Digest, number> {
  return new Map([...declared ?? [], ...[...deltas.values()].map(({ delta, size }) => [delta, size] as const)]);
}
