import { parentOf } from "../files/parent_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { packageIdOf } from "../kubepkg/package_id.ts";
import { type PackageObject, packageObjects } from "../kubepkg/package_objects.ts";
import type { Digest } from "../oci/digest.ts";
import { readHandedOver } from "./hand_over_package.ts";
import { type HandedOver, handedOverObjects, type OwnedFile } from "./handover/handover_records.ts";
import { K3sAddons } from "./handover/k3s_addons.ts";
import type { KubectlCluster } from "./handover/kubectl_cluster.ts";
import { readManifestFile, readWriteTime } from "./handover/manifest_folder.ts";
import { ownerOf } from "./handover/owned_file.ts";
import { holdsData, labelsOf } from "./handover/plan_objects.ts";
import type { PackageRecords } from "./package_records.ts";

/** What became of the hand-over of a package; "unknown": kubectl does not reach the cluster. */
export type PackageState = "applied" | "failed" | "pending" | "unknown" | "not handed over";

/** What the cluster is seen to have of a package. */
export interface PackageStatus {
  readonly name: string;
  readonly namespace: string;
  /** The installed version. */
  readonly version: string;
  /** The version that was handed over last. */
  readonly handedOver?: string | undefined;
  /** The manifest file, or the tool. */
  readonly where?: string | undefined;
  readonly state: PackageState;
  /** Why it is in this state; one sentence. */
  readonly reason?: string | undefined;
  /** The removal of the package was handed over, and is not confirmed yet. */
  readonly isRemoving: boolean;
  /** The cluster tries again on its own what has failed. */
  readonly isRetried?: boolean;
  /** Objects, as `kind/namespace/name`; `undefined` where the cluster cannot be asked. */
  readonly present?: readonly string[];
  readonly missing?: readonly string[];
}

/** Dependencies of `readPackageStatus`. */
interface StatusOptions {
  readonly records: PackageRecords;
  readonly cluster: Pick<KubectlCluster, "readJson" | "listPresent" | "isApplied">;
}

type Finding = Pick<PackageStatus, "state" | "reason" | "where" | "isRetried"> & { readonly isAsked?: boolean };

/** Reads what the cluster has of an installed package. @throws {CorruptError} when its record is not valid */
export async function readPackageStatus(installed: KubePkg, options: StatusOptions): Promise<PackageStatus> {
  const { version } = installed.spec;
  const id = packageIdOf(installed);
  const found = await readHandedOver(id, options);
  if (found === undefined || found === "lost") {
    return { ...id, version, state: "not handed over", isRemoving: false };
  }
  const isRemoving = found.isRemoving === true;
  const objects = isRemoving
    ? handedOverObjects(found).filter(({ identity }) => !holdsData(identity))
    : packageObjects(found.kubepkg ?? found.attempted!);
  const { isAsked, ...finding } = await findState(found, objects, options);
  const present = isAsked ? await options.cluster.listPresent(objects) : undefined;
  const seen = new Set(present);
  return {
    ...id,
    version,
    handedOver: found.kubepkg?.spec.version,
    isRemoving,
    ...finding,
    present: present && labelsOf(present),
    missing: present && (isRemoving ? [] : labelsOf(objects.filter((object) => !seen.has(object)))),
  };
}

/** What a `waitForPackage` waits with, and for how long. */
interface WaitOptions {
  /** In milliseconds. */
  readonly wait: number;
  /** A clock, in milliseconds. */
  readonly now: () => number;
  readonly sleep: (milliseconds: number) => Promise<void>;
}

const POLL_MILLISECONDS = 1000;
// k3s polls each 15 s. Its first attempt fails where a definition and an object of its kind are in one file.
const RETRY_MILLISECONDS = 20_000;

/**
 * Reads a status again and again until it is "applied", or "failed" also after the cluster tried again, or until the time is
 * up.
 */
export async function waitForPackage(
  read: () => Promise<PackageStatus>,
  { wait, now, sleep }: WaitOptions,
): Promise<PackageStatus> {
  const end = now() + wait;
  let failedSince: number | undefined;
  for (;;) {
    const status = await read();
    const { state, isRetried } = status;
    failedSince = state === "failed" ? failedSince ?? now() : undefined;
    const isGivenUp = failedSince !== undefined && (!isRetried || now() - failedSince >= RETRY_MILLISECONDS);
    if (state === "applied" || state === "not handed over" || isGivenUp || now() >= end) return status;
    await sleep(Math.min(POLL_MILLISECONDS, end - now()));
  }
}

async function findState(
  handedOver: HandedOver,
  objects: readonly PackageObject[],
  { cluster }: StatusOptions,
): Promise<Finding> {
  const { place, attempted } = handedOver;
  if (attempted !== undefined) {
    const reason = `the hand-over of ${attempted.spec.version} was interrupted, or failed; import it again`;
    return { state: "failed", reason, isAsked: true };
  }
  if ("manifestsDir" in place) return await findFolderState(handedOver, { folder: place.manifestsDir, cluster });
  const where = "the cluster, by kubectl";
  const present = await cluster.listPresent(objects);
  if (present === undefined) return { state: "unknown", reason: "kubectl does not reach the cluster", where };
  if (handedOver.isRemoving) return { state: "pending", where, isAsked: true };
  const missing = objects.length - present.length;
  if (missing > 0) {
    return {
      state: "failed",
      reason: `${missing} of ${objects.length} objects ${missing === 1 ? "is" : "are"} missing`,
      where,
      isAsked: true,
    };
  }
  const isEqual = await cluster.isApplied(objects);
  const reason = isEqual ? undefined : "some objects are not as they were handed over";
  return { state: "applied", reason, where, isAsked: true };
}

async function findFolderState(
  { files }: HandedOver,
  { folder, cluster }: { folder: string; cluster: StatusOptions["cluster"] },
): Promise<Finding> {
  const file = files.find(({ path }) => parentOf(path) === folder);
  if (file === undefined) return { state: "failed", reason: "its manifest file is not recorded; import it again" };
  const { path: where } = file;
  const current = await readManifestFile(where);
  const reason = await findDamage(file, folder, current?.digest);
  if (reason !== undefined) return { state: "failed", reason, where };
  const digest = file.digests?.at(-1) ?? current?.digest;
  const state = digest === undefined
    ? undefined
    : await new K3sAddons(cluster).readState({ path: where, digest, writtenAt: await readWriteTime(where) });
  if (state === undefined) {
    return { state: "unknown", reason: "kubectl does not reach the cluster that reads the file", where };
  }
  return { ...state, isRetried: state.state === "failed" || undefined, where, isAsked: true };
}

// On another machine than the one that wrote the file, the folder need not exist.
async function findDamage(
  file: OwnedFile,
  folder: string,
  digest: Digest | undefined,
): Promise<string | undefined> {
  const isThere = (await Deno.stat(folder).catch(() => undefined))?.isDirectory === true;
  if (!isThere) return undefined;
  if (digest === undefined) return "the file is missing; import the package again";
  return ownerOf(file.path, digest, [file]) === "crpe"
    ? undefined
    : "the file was changed by hand since crpe wrote it; import the package again with --force";
}
