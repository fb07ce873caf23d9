import type { BundleSource } from "../bytes/byte_reader.ts";
import { handOverPackage, isPackageHandedOver, planHandover } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import { describeChanges } from "./handover/manifest_file.ts";
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
  /** Deletes data that left the package; see `HandoverRequest`. */
  readonly pruneData?: boolean | undefined;
}

/** The result of an installation. */
export interface InstallResult extends ImportResult {
  /** Where the manifests were handed over to. */
  readonly handover?: string;
  /** Whether the cluster was seen to have everything applied and deleted; see `HandoverResult`. */
  readonly isConfirmed?: boolean;
  /** Objects, as `kind/namespace/name`, that were to be deleted and were seen in the cluster afterwards. */
  readonly remaining?: readonly string[];
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
  const { force, pruneData } = options;
  const handing = handover === undefined ? undefined : { handover, records, force, pruneData };
  const result = await importBundle(source, store, {
    ...options,
    pending: records.pending,
    planManifests: handing && (async (kubepkg) => {
      const { plan: { changes, refusal }, warnings } = await planHandover(kubepkg, handing);
      return { manifests: describeChanges(changes), warnings, ...(refusal === undefined ? {} : { refusal }) };
    }),
    installation: {
      findInstalled: (name) => records.read(name),
      prepare: async () => await handover?.prepare(),
      lock: () => records.lock(),
      isFinished: async (kubepkg) => handing === undefined || await isPackageHandedOver(kubepkg, handing),
      finish: async (kubepkg, { isRepair }) => {
        // k3s re-applies a manifest file whenever it is rewritten, so an unchanged file is left alone.
        if (handing !== undefined && !(isRepair && await isPackageHandedOver(kubepkg, handing))) {
          handedOver = (await handOverPackage(kubepkg, handing)).result;
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
  const { where, isConfirmed, remaining, note } = handedOver;
  return {
    ...result,
    handover: where,
    isConfirmed,
    ...(remaining === undefined ? {} : { remaining }),
    ...(note === undefined ? {} : { handoverNote: note }),
  };
}
