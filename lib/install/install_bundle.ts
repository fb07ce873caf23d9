import type { BundleSource } from "../bytes/byte_reader.ts";
import { type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { Admission } from "./admission.ts";
import type { ImportAudit } from "./audit_import.ts";
import { handOverPackage, isPackageHandedOver, planHandover } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import { describeChanges } from "./handover/manifest_file.ts";
import { type ImageFileResult, ImageFiles, type ImageFilesOptions } from "./image_files.ts";
import { importPackages, onlyResult, type PackageOutcome } from "./import_bundle.ts";
import type { ImportOptions, ImportResult } from "./import_package.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { PackageRecords } from "./package_records.ts";
import { listOtherPackages } from "./read_other_packages.ts";
import { createReceipt } from "./receipts.ts";
import { signReceipt } from "./signed_receipt.ts";
import { absentIfBroken } from "./records/record_file.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

/** Options of `installBundle`. */
export interface InstallOptions
  extends
    Pick<ImportOptions, "what" | "force" | "dryRun" | "trust" | "freeBytes">,
    Pick<ImportOptions, "checkDocument" | "onPlan" | "onRead" | "onProgress"> {
  readonly store: ImportStore;
  readonly records: PackageRecords;
  /** Where the manifests are handed over; without it they are only recorded. */
  readonly handover?: Handover | undefined;
  /** Deletes data that left the package; see `HandoverRequest`. */
  readonly pruneData?: boolean | undefined;
  /** The folder for an archive with the images of each package; see `ImageFiles`. */
  readonly images?: Pick<ImageFilesOptions, "folder" | "platforms"> | undefined;
  /** The name of this machine, for the receipt. */
  readonly node?: string;
  /** Logs the import; without it, and for a dry run, nothing is logged. */
  readonly audit?: ImportAudit | undefined;
  /** The time in milliseconds since 1970, for the receipt. */
  readonly now?: () => number;
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
  /** The archive with the images of the package. */
  readonly imageFile?: ImageFileResult;
  /** Other namespaces in which a package of the same name is installed, which is another package; sorted. */
  readonly sameNameIn?: readonly string[];
  /** Records of the package that could not be read, and were renamed to these paths. */
  readonly setAside?: readonly string[];
}

/**
 * Imports the content of a bundle of one package, hands its manifests over, and records the package. In this order an
 * interrupted installation can be repeated and resumes where it stopped.
 *
 * Of concurrent installations only one at a time changes anything visible, and the version rule is checked again
 * against the result of the one before.
 *
 * @throws {Error} when the manifests cannot be handed over; if that can be known in advance, before anything is written
 * @throws as `importBundle` does
 */
export async function installBundle(
  source: BundleSource,
  options: InstallOptions,
): Promise<InstallResult> {
  return onlyResult(await installAndLog(source, options, true));
}

/**
 * Installs all packages of a bundle, each by itself: one may be refused while another is installed.
 *
 * @returns how each package ended, in the order of the bundle
 * @throws as `importPackages` does
 */
export async function installPackages(
  source: BundleSource,
  options: InstallOptions,
): Promise<PackageOutcome<InstallResult>[]> {
  return await installAndLog(source, options, false);
}

async function installAndLog(
  source: BundleSource,
  { audit, ...options }: InstallOptions,
  isSingle: boolean,
): Promise<PackageOutcome<InstallResult>[]> {
  if (audit === undefined || options.dryRun) return await installAll(source, options, isSingle);
  try {
    const outcomes = await installAll(source, { ...options, audit }, isSingle);
    await audit.end(outcomes);
    return outcomes;
  } catch (error) {
    await audit.fail(error);
    throw error;
  }
}

async function installAll(
  source: BundleSource,
  { store, records, handover, images, audit, node = "", now = Date.now, ...options }: InstallOptions,
  isSingle: boolean,
): Promise<PackageOutcome<InstallResult>[]> {
  const handedOver = new Map<KubePkg, HandoverResult>();
  const imageFiles = new Map<KubePkg, ImageFileResult | undefined>();
  const setAside = new Map<KubePkg, readonly string[]>();
  const { force, pruneData } = options;
  const files = new ImageFiles({ ...images, store, records: records.images, force });
  const admission = new Admission(records, options.trust);
  const handing = handover === undefined ? undefined : { handover, records, force, pruneData };
  const outcomes = await importPackages(source, store, {
    ...options,
    isSingle,
    pending: records.pending,
    planManifests: handing && (async (kubepkg) => {
      const { plan: { changes, refusal }, warnings } = await planHandover(kubepkg, handing);
      return { manifests: describeChanges(changes), warnings, refusal };
    }),
    findRefusal: async (kubepkg, bytesToWrite) => {
      return await admission.findRefusal(kubepkg) ?? await files.findRefusal(kubepkg, bytesToWrite);
    },
    installation: {
      findInstalled: (id) => force ? records.read(id).catch(absentIfBroken) : records.read(id),
      prepare: async () => {
        // A damaged key is an error now, not when everything else is done.
        await records.nodeKey.read();
        await handover?.prepare();
        await files.prepare();
      },
      lock: () => records.lock(),
      listOthers: (kubepkg) => listOtherPackages(records, packageIdOf(kubepkg)),
      isFinished: async (kubepkg) => {
        return (handing === undefined || await isPackageHandedOver(kubepkg, handing)) && await files.isWritten(kubepkg);
      },
      admit: async (kubepkg, verdict, signed) => {
        const refusal = await admission.findRefusal(kubepkg);
        if (refusal !== undefined) throw refusal;
        await admission.record(kubepkg, verdict, signed);
      },
      begin: audit?.begin,
      finish: async (kubepkg, { isRepair, trust }) => {
        if (force) setAside.set(kubepkg, await records.setAsideBroken(packageIdOf(kubepkg)));
        // Before the manifests: what they run is then ready for the next start of k3s.
        if (!isRepair || !await files.isWritten(kubepkg)) imageFiles.set(kubepkg, await files.write(kubepkg));
        // k3s re-applies a manifest file whenever it is rewritten, so an unchanged file is left alone.
        if (handing !== undefined && !(isRepair && await isPackageHandedOver(kubepkg, handing))) {
          handedOver.set(kubepkg, (await handOverPackage(kubepkg, handing)).result);
        }
        // Before the record, which ends the installation: an interrupted one is repeated, and writes the receipt again.
        const receipt = createReceipt(kubepkg, { node, repaired: isRepair, time: now(), trust });
        await records.receipts.write(signReceipt(receipt, await records.nodeKey.ensure()));
        if (!isRepair) await records.write(kubepkg);
        // A repair installs no new release, so another pending release stays pending.
        else await records.pending.removeRelease(kubepkg);
      },
    },
  });
  const done: PackageOutcome<InstallResult>[] = [];
  for (const outcome of outcomes) {
    if (outcome.result === undefined) {
      done.push(outcome);
      continue;
    }
    const { plan, kubepkg, isImported } = outcome.result;
    // An installation that was interrupted right before its end has left its pending record.
    if (plan.verdict === "same" && !isImported && !plan.isRepair && !options.dryRun) {
      await records.pending.removeRelease(kubepkg);
    }
    const imageFile = imageFiles.get(kubepkg);
    const aside = setAside.get(kubepkg) ?? [];
    const sameNameIn = await listSameName(packageIdOf(kubepkg), records);
    done.push({
      ...outcome,
      result: {
        ...outcome.result,
        ...describeHandover(handedOver.get(kubepkg)),
        imageFile,
        ...(sameNameIn.length === 0 ? {} : { sameNameIn }),
        ...(aside.length === 0 ? {} : { setAside: aside }),
      },
    });
  }
  return done;
}

function describeHandover(
  handedOver: HandoverResult | undefined,
): Pick<InstallResult, "handover" | "isConfirmed" | "remaining" | "handoverNote"> {
  if (handedOver === undefined) return {};
  const { where, isConfirmed, remaining, note } = handedOver;
  return {
    handover: where,
    isConfirmed,
    remaining,
    handoverNote: note,
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
