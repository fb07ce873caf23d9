import type { BundleSource } from "../bytes/byte_reader.ts";
import { type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { handOverPackage, isPackageHandedOver, planHandover } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import { describeChanges } from "./handover/manifest_file.ts";
import { importBundle, type ImportOptions, type ImportResult } from "./import_bundle.ts";
import type { PackageRecords } from "./package_records.ts";
import { absentIfBroken } from "./records/record_file.ts";
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
  /** Other namespaces in which a package of the same name is installed, which is another package; sorted. */
  readonly sameNameIn?: readonly string[];
  /** Records of the package that could not be read, and were renamed to these paths. */
  readonly setAside?: readonly string[];
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
  let setAside: readonly string[] = [];
  const { force, pruneData } = options;
  const handing = handover === undefined ? undefined : { handover, records, force, pruneData };
  const result = await importBundle(source, store, {
    ...options,
    pending: records.pending,
    planManifests: handing && (async (kubepkg) => {
      const { changes, refusal } = await planHandover(kubepkg, handing);
      return { manifests: describeChanges(changes), ...(refusal === undefined ? {} : { refusal }) };
    }),
    installation: {
      findInstalled: (id) => force ? records.read(id).catch(absentIfBroken) : records.read(id),
      prepare: async () => await handover?.prepare(),
      lock: () => records.lock(),
      isFinished: async (kubepkg) => handing === undefined || await isPackageHandedOver(kubepkg, handing),
      finish: async (kubepkg, { isRepair }) => {
        if (force) setAside = await records.setAsideBroken(packageIdOf(kubepkg));
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
  const sameNameIn = await listSameName(packageIdOf(kubepkg), records);
  const notes = {
    ...(sameNameIn.length === 0 ? {} : { sameNameIn }),
    ...(setAside.length === 0 ? {} : { setAside }),
  };
  if (handedOver === undefined) return { ...result, ...notes };
  const { where, isConfirmed, remaining, note } = handedOver;
  return {
    ...result,
    ...notes,
    handover: where,
    isConfirmed,
    ...(remaining === undefined ? {} : { remaining }),
    ...(note === undefined ? {} : { handoverNote: note }),
  };
}

// A package whose record cannot be read counts as installed.
async function listSameName({ namespace, name }: PackageId, records: PackageRecords): Promise<string[]> {
  const found: string[] = [];
  for (const id of await records.listIds()) {
    if (id.name !== name || id.namespace === namespace) continue;
    const isInstalled = await records.read(id).then((it) => it !== undefined, () => true);
    if (isInstalled) found.push(id.namespace);
  }
  return found;
}
