import type { BundleSource } from "../bundle/byte_reader.ts";
import { importBundle, type ImportOptions, type ImportResult } from "../bundle/import_bundle.ts";
import type { ImportStore } from "../bundle/write_bundle_blob.ts";
import type { PackageRecords } from "./package_records.ts";
import { isHandedOver, probeHandoverFolder, writeHandover } from "./write_handover.ts";

/** Where a bundle is installed, and how. */
export interface InstallOptions
  extends Pick<ImportOptions, "what" | "force" | "dryRun" | "freeBytes" | "onPlan" | "onProgress"> {
  readonly store: ImportStore;
  readonly records: PackageRecords;
  /** The folder that the cluster's watcher polls. */
  readonly manifestsDir?: string | undefined;
}

/** What an installation did. */
export interface InstallResult extends ImportResult {
  /** The hand-over file that was written. */
  readonly handover?: string;
}

/**
 * Imports a bundle's content, hands its manifests over, and records the package: in this order, so that what was cut off
 * anywhere is done again from the place where it stopped. Of several installations at a time one at a time does what can
 * be seen, and the version rule holds for what the one before has left.
 *
 * @throws {Error} when `manifestsDir` cannot be written: before anything is
 * @throws as `importBundle` does
 */
export async function installBundle(
  source: BundleSource,
  { store, records, manifestsDir, ...options }: InstallOptions,
): Promise<InstallResult> {
  let handover: string | undefined;
  const result = await importBundle(source, store, {
    ...options,
    pending: records.pending,
    installation: {
      findInstalled: (name) => records.read(name),
      prepare: async () => {
        if (manifestsDir !== undefined) await probeHandoverFolder(manifestsDir);
      },
      lock: () => records.lock(),
      isFinished: async (kubepkg) => manifestsDir === undefined || await isHandedOver(manifestsDir, kubepkg),
      finish: async (kubepkg, { isRepair }) => {
        // Who watches the folder takes a file that is written again for news.
        if (manifestsDir !== undefined && !(isRepair && await isHandedOver(manifestsDir, kubepkg))) {
          handover = await writeHandover(manifestsDir, kubepkg);
        }
        if (!isRepair) await records.write(kubepkg);
        else await records.pending.remove(kubepkg.metadata.name);
      },
    },
  });
  const { plan, kubepkg } = result;
  // Of an installation that was cut off right before its end.
  if (plan.verdict === "same" && !result.isImported && !plan.isRepair && !options.dryRun) {
    await records.pending.settle(kubepkg);
  }
  return { ...result, ...(handover === undefined ? {} : { handover }) };
}
