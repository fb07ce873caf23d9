import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { FolderHandover } from "./handover/folder_handover.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover/handover.ts";
import { type HandedOver, isSamePlace } from "./handover/handover_records.ts";
import type { PackageRecords } from "./package_records.ts";

/**
 * Hands a package over and records the place.
 *
 * If a package moves from a folder to kubectl, its file is removed: k3s applies every file again when it starts, which
 * would bring the old release back. If it moves from one folder to another, the old file stays, because the data folder
 * may be a copy and another cluster may read the old folder.
 *
 * @returns the result of the hand-over, with a `note` on the previous place
 */
export async function handOverPackage(
  handover: Handover,
  records: PackageRecords,
  kubepkg: KubePkg,
): Promise<HandoverResult> {
  const before = await records.handovers.read(kubepkg.metadata.name);
  const result = await handover.handOver(kubepkg, before?.kubepkg);
  const place = await handover.place();
  const note = before === undefined || isSamePlace(before.place, place)
    ? undefined
    : await leavePreviousPlace(before, place);
  await records.handovers.write({ place, kubepkg });
  return { ...result, ...(note === undefined ? {} : { note }) };
}

async function leavePreviousPlace(
  { place: old, kubepkg }: HandedOver,
  place: HandoverPlace,
): Promise<string | undefined> {
  if (!("manifestsDir" in old)) return undefined;
  const handover = new FolderHandover(old.manifestsDir);
  const path = handover.pathOf(kubepkg);
  if ("kubectl" in place) {
    return await handover.removeFileOnly(kubepkg) ? `${path} is removed, kubectl manages its objects now` : undefined;
  }
  return await handover.isHandedOver(kubepkg)
    ? `${path} has an earlier hand-over; remove it if the same cluster reads it, which deletes nothing in the cluster`
    : undefined;
}

/** Reports whether exactly this release is handed over, and recorded at the place of `handover`. */
export async function isPackageHandedOver(
  handover: Handover,
  records: PackageRecords,
  kubepkg: KubePkg,
): Promise<boolean> {
  const before = await records.handovers.read(kubepkg.metadata.name);
  if (before === undefined || !await handover.isHandedOver(kubepkg)) return false;
  return isSamePlace(before.place, await handover.place());
}
