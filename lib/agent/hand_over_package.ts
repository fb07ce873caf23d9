import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { FolderHandover } from "./folder_handover.ts";
import type { Handover, HandoverResult } from "./handover.ts";
import { isSamePlace } from "./handover_records.ts";
import type { PackageRecords } from "./package_records.ts";

/**
 * Hands a package over and notes where to. What was handed over elsewhere before is given up there: k3s applies every file
 * of its folder again when it starts, so one that stayed would bring the old release back.
 */
export async function handOverPackage(
  handover: Handover,
  records: PackageRecords,
  kubepkg: KubePkg,
): Promise<HandoverResult> {
  const before = await records.handovers.read(kubepkg.metadata.name);
  const result = await handover.handOver(kubepkg, before?.kubepkg);
  const place = await handover.place();
  if (before !== undefined && !isSamePlace(before.place, place) && "manifestsDir" in before.place) {
    await new FolderHandover(before.place.manifestsDir).giveUp(kubepkg);
  }
  await records.handovers.write({ place, kubepkg });
  return result;
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
