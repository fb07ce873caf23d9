import type { BundleSource } from "../bytes/byte_reader.ts";
import { handOverPackage, isPackageHandedOver } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import { importBundle, type ImportOptions, type ImportResult } from "./import_bundle.ts";
import type { PackageRecords } from "./package_records.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

/** Options of `installBundle`. */
export interface InstallOptions
  extends Pick<ImportOptions, "what" | "force" | "dryRun" | "freeBytes" | "onPlan" | "onRead" | "onProgress"> {
  readonly store: ImportStore;
  readonly records: PackageRecords;
  /** Where the manifests are handed over; without it they are only recorded. */
  readonly handover?: Handover | undefined;
}

/** The result of an installation. */
export interface InstallResult extends ImportResult {
  /** Where the manifests were handed over to. */
  readonly handover?: string;
  /** Objects, as `kind/namespace/name`, that the package no longer has but that were left in the cluster. */
  readonly left?: readonly string[];
  /** What happened to the place of the previous hand-over, if it was another one; one sentence. */
  readonly handoverNote?: string;
}

/**
 * Imports a bundle's content, hands its manifests over, and records the package. In this order an interrupted
 * installation can be repeated and resumes where it stopped.
 *
 * Of concurrent installations only one at a time changes anything visible, and the version rule is checked again
 * against the result of the one before.
 *
 * @throws {Error} when the manifests cannot be handed over; if that can be known in advance, before anything is written
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
        // k3s re-applies a manifest file whenever it is rewritten, so an unchanged file is left alone.
        if (handover !== undefined && !(isRepair && await isPackageHandedOver(handover, records, kubepkg))) {
          handedOver = await handOverPackage(handover, records, kubepkg);
        }
        if (!isRepair) await records.write(kubepkg);
        // A repair installs no new release, so another pending release stays pending.
        else await records.pending.removeRelease(kubepkg);
      },
    },
  });
  const { plan, kubepkg } = result;
  // An installation that was interrupted right before its end has left its pending record.
  if (plan.verdict === "same" && !result.isImported && !plan.isRepair && !options.dryRun) {
    await records.pending.removeRelease(kubepkg);
  }
  if (handedOver === undefined) return result;
  const { where, left, note } = handedOver;
  return { ...result, handover: where, left, ...(note === undefined ? {} : { handoverNote: note }) };
}
