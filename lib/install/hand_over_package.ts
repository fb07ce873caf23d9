import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { FolderHandover } from "./handover/folder_handover.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover/handover.ts";
import { type HandedOver, isSamePlace } from "./handover/handover_records.ts";
import type { PackageRecords } from "./package_records.ts";

/**
 * Hands a package over and notes where to.
 *
 * What kubectl takes over leaves the folder that it was in: k3s applies every file again when it starts, which would bring
 * the old release back. Of two folders it is not known whether one cluster reads both: the data folder may be a copy.
 */
export async function handOverPackage(
  handover: Handover,
  records: PackageRecords,
  kubepkg: KubePkg,
): Promise<HandoverResult> {
  const before = await records.handovers.read(kubepkg.metadata.name);
  const result = await handover.handOver(kubepkg, before?.kubepkg);
  const place = await handover.place();
  const note = before === undefined || isSamePlace(before.place, place) ? undefined : await leave(before, place);
  await records.handovers.write({ place, kubepkg });
  return { ...result, ...(note === undefined ? {} : { note }) };
}

async function leave({ place: old, kubepkg }: HandedOver, place: HandoverPlace): Promise<string | undefined> {
  if (!("manifestsDir" in old)) return undefined;
  const handover = new FolderHandover(old.manifestsDir);
  const path = handover.pathOf(kubepkg);
  if ("kubectl" in place) {
    return await handover.giveUp(kubepkg) ? `${path} is removed, its objects are kubectl's now` : undefined;
  }
  return await handover.isHandedOver(kubepkg)
    ? `${path} has an earlier hand-over; remove it if the same cluster reads it, which deletes nothing there`
    : undefined;
}

/** Tells whether a package is handed over as it is, and it is known where to. */
export async function isPackageHandedOver(
  handover: Handover,
  records: PackageRecords,
  kubepkg: KubePkg,
): Promise<boolean> {
  const before = await records.handovers.read(kubepkg.metadata.name);
  if (before === undefined || !await handover.isHandedOver(kubepkg)) return false;
  return isSamePlace(before.place, await handover.place());
}
