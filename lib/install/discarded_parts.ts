import type { KubePkg, PackagePart } from "../kubepkg/kubepkg.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import { identityOf } from "../kubepkg/version.ts";
import { formatParts, isSamePack, type PendingPackage } from "./pending_packages.ts";

/**
 * Says which received parts an import discards, because they are of another release or of another pack.
 *
 * @param kubepkg the release that is imported, without `status.part`
 * @param part set if it is one part of several
 * @returns a sentence; `undefined` if no part is discarded
 */
export function describeDiscardedParts(
  kubepkg: KubePkg,
  part: PackagePart | undefined,
  pending: PendingPackage | undefined,
): string | undefined {
  const { id, count, received = [] } = pending?.part ?? {};
  if (pending === undefined || received.length === 0) return undefined;
  // A whole bundle of the same release completes it.
  const isWanted = part === undefined
    ? identityOf(pending.kubepkg) === identityOf(kubepkg)
    : isSamePack(kubepkg, part, pending);
  if (isWanted) return undefined;
  const packed = pending.kubepkg.spec.version === kubepkg.spec.version ? ` (packed as ${id} in ${count} parts)` : "";
  const [verb, object] = received.length === 1 ? ["was", "it"] : ["were", "them"];
  const what = `${formatParts(received)} of ${formatRelease(pending.kubepkg)}${packed}`;
  return `${what} ${verb} received before; ${formatRelease(kubepkg)} discards ${object}`;
}
