import type { BundleSource } from "../bytes/byte_reader.ts";
import { handOverPackage, isPackageHandedOver } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import { importBundle, type ImportOptions, type ImportResult } from "./import_bundle.ts";
import type { PackageRecords } from "./package_records.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

/** Where a bundle is installed, and how. */
export interface InstallOptions
  extends Pick<ImportOptions, "what" | "force" | "dryRun" | "freeBytes" | "onPlan" | "onRead" | "onProgress"> {
  readonly store: ImportStore;
  readonly records: PackageRecords;
  /** How the manifests get into the cluster; without it they are only recorded. */
  readonly handover?: Handover | undefined;
}

/** What an installation did. */
export interface InstallResult extends ImportResult {
  /** Where the manifests were handed over to. */
  readonly handover?: string;
  /** Objects that the package no longer has, but that were left in the cluster. */
  readonly left?: readonly string[];
  /** What became of the place where the package was handed over to before, if that was another. */
  readonly handoverNote?: string;
}

/**
 * Imports a bundle's content, hands its manifests over, and records the package: in this order, so that what was cut off
 * anywhere is done again from the place where it stopped. Of several installations at a time one at a time does what can
 * be seen, and the version rule holds for what the one before has left.
 *
 * @throws {Error} when the manifests cannot be handed over: where that can be known, before anything is written
 * @throws as `importBundle` does
 */
export async function installBundle(
  source: BundleSource,
  { store, records, handover, ...options }: InstallOptions,
): Promise<InstallResult> {
  let handedOver: HandoverResult | undefined;
  const result = await importBundle(source, store, {
    ...options,
    pending: records.pending,
    installation: {
      findInstalled: (name) => records.read(name),
      prepare: async () => await handover?.prepare(),
      lock: () => records.lock(),
      isFinished: async (kubepkg) => handover === undefined || await isPackageHandedOver(handover, records, kubepkg),
      finish: async (kubepkg, { isRepair }) => {
        // Who watches for manifests takes those that come again for news.
        if (handover !== undefined && !(isRepair && await isPackageHandedOver(handover, records, kubepkg))) {
          handedOver = await handOverPackage(handover, records, kubepkg);
        }
        if (!isRepair) await records.write(kubepkg);
        // Nothing else was installed: another release that is on its way stays so.
        else await records.pending.settle(kubepkg);
      },
    },
  });
  const { plan, kubepkg } = result;
  // Of an installation that was cut off right before its end.
  if (plan.verdict === "same" && !result.isImported && !plan.isRepair && !options.dryRun) {
    await records.pending.settle(kubepkg);
  }
  if (handedOver === undefined) return result;
  const { where, left, note } = handedOver;
  return { ...result, handover: where, left, ...(note === undefined ? {} : { handoverNote: note }) };
}
