import type { KubeObject, KubePkg } from "../kubepkg/kubepkg.ts";
import { formatIdentity, identityKey } from "../kubepkg/object_identity.ts";
import { formatPackageId, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { type PackageObject, packageObjects } from "../kubepkg/package_objects.ts";
import type { Digest } from "../oci/digest.ts";
import { byForce, cannot, CorruptError, RefusedError } from "../oci/error.ts";
import type { Handover, HandoverPlan, HandoverRequest, HandoverResult } from "./handover/handover.ts";
import {
  type HandedOver,
  handedOverObjects,
  type HandoverPlace,
  isCompleted,
  isSamePlace,
  type OwnedFile,
} from "./handover/handover_records.ts";
import { checkOwnedFile, removeOwnedFile } from "./handover/owned_file.ts";
import { labelsOf } from "./handover/plan_objects.ts";
import { handoverFileName } from "./handover/manifest_file.ts";
import type { PackageRecords } from "./package_records.ts";
import { absentIfBroken, RecordError } from "./records/record_file.ts";
import { readOtherPackages } from "./read_other_packages.ts";

/** How a package is handed over. */
export interface HandOverOptions {
  readonly handover: Handover;
  readonly records: PackageRecords;
  /** See `HandoverRequest`. */
  readonly force?: boolean | undefined;
  readonly pruneData?: boolean | undefined;
}

/** A plan, and what is to be said about it. */
interface PlannedHandover {
  readonly plan: HandoverPlan;
  /** Records of other packages that cannot be read, a sentence each. */
  readonly warnings: readonly string[];
}

const MAX_TRIES = 10;

/**
 * Decides what handing a package over, or removing it from the cluster, does; writes nothing. The caller need not hold the
 * installation lock.
 */
export async function planHandover(
  kubepkg: KubePkg,
  options: HandOverOptions & { readonly isRemoval?: boolean },
): Promise<PlannedHandover> {
  for (let tries = 1;; tries++) {
    const planned = await planOnce(kubepkg, options);
    const { plan: { refusal, request: { before } } } = planned;
    if (!(refusal instanceof RefusedError) || tries === MAX_TRIES) return planned;
    // A concurrent import may have written the file after the record was read. It writes the record first, so a file that is
    // foreign to a record which did not change meanwhile is foreign.
    const now = await readBefore(kubepkg, options);
    if (JSON.stringify(now?.files) === JSON.stringify(before?.files)) return planned;
  }
}

async function planOnce(
  kubepkg: KubePkg,
  options: HandOverOptions & { readonly isRemoval?: boolean },
): Promise<PlannedHandover> {
  const { handover, records, force = false, pruneData = false, isRemoval = false } = options;
  const others = await readOtherPackages(records, packageIdOf(kubepkg));
  const request: HandoverRequest = {
    package: kubepkg,
    isRemoval,
    before: await readBefore(kubepkg, options),
    others: others.objects,
    areOthersKnown: others.isComplete,
    takenFiles: new Set([...others.files, ...await likelyFiles(others.unreadable, handover)]),
    force,
    pruneData,
  };
  return { plan: await handover.plan(request), warnings: others.warnings };
}

// A package whose record cannot be read has its file under the name that a package gets first.
async function likelyFiles(unreadable: readonly PackageId[], handover: Handover): Promise<string[]> {
  const place = unreadable.length === 0 ? undefined : await handover.place().catch(() => undefined);
  if (place === undefined || !("manifestsDir" in place)) return [];
  return unreadable.map((metadata) => `${place.manifestsDir}/${handoverFileName({ metadata })}`);
}

/**
 * Hands a package over and records what was handed over, and where. The record is written twice: before, so that files and
 * objects of an interrupted hand-over are known, and after.
 *
 * If a package moves from a folder to kubectl, its file is removed: k3s applies every file again when it starts, which
 * would bring the old release back. If it moves from one folder to another, the old file stays, because the data folder
 * may be a copy and another cluster may read the old folder.
 *
 * @returns the plan that was followed and its result, with a `note` on the previous place
 * @throws {RefusedError} when something in the cluster or the folder belongs to others
 */
export async function handOverPackage(
  kubepkg: KubePkg,
  options: HandOverOptions,
): Promise<{ plan: HandoverPlan; result: HandoverResult }> {
  const { handover, records } = options;
  const id = packageIdOf(kubepkg);
  const plan = await claimPlan((await planHandover(kubepkg, options)).plan);
  const place = await handover.place();
  await records.handovers.write(id, recordAttempt(plan, place));
  const result = await handover.apply(plan);
  const { files, note } = await leavePreviousPlace(plan, place);
  await records.handovers.write(id, {
    place,
    kubepkg,
    kept: listKept(plan, result),
    files: plan.file === undefined ? files : [...files, { path: plan.file.path, digests: [plan.file.digest] }],
    revision: plan.revision,
    ...("manifestsDir" in place ? markShared(plan) : {}),
  });
  return { plan, result: { ...result, note: note ?? result.note } };
}

/**
 * Removes the objects of a package from the cluster; the record stays, and notes the removal until the caller removes it.
 *
 * @throws {RefusedError} when the package's file was changed by hand
 */
export async function removeFromCluster(
  kubepkg: KubePkg,
  options: HandOverOptions,
): Promise<{ plan: HandoverPlan; result: HandoverResult }> {
  const { handover, records } = options;
  const plan = await claimPlan((await planHandover(kubepkg, { ...options, isRemoval: true })).plan);
  const place = await handover.place();
  await records.handovers.write(packageIdOf(kubepkg), recordAttempt(plan, place));
  const result = await handover.apply(plan);
  const { note } = await leavePreviousPlace(plan, place);
  return { plan, result: { ...result, note: note ?? result.note } };
}

/** Reports whether exactly this release is handed over, and recorded at the place of `handover`. */
export async function isPackageHandedOver(kubepkg: KubePkg, options: HandOverOptions): Promise<boolean> {
  const { handover } = options;
  // What --force changes is not asked for.
  const { plan } = await planHandover(kubepkg, { ...options, force: false });
  const { before } = plan.request;
  const { changes: { added, changed, deleted } } = plan;
  if (!isCompleted(before) || added.length > 0 || changed.length > 0 || deleted.length > 0) return false;
  // Where the folder does not exist, the hand-over that follows reports it.
  const place = await handover.place().catch(() => undefined);
  return place !== undefined && isSamePlace(before.place, place) && await handover.isHandedOver(plan);
}

async function claimPlan(plan: HandoverPlan): Promise<HandoverPlan> {
  if (plan.refusal !== undefined) throw plan.refusal;
  return await plan.claim?.() ?? plan;
}

// A hand-over that nothing was claimed for, of a package that other servers have too, is compared with theirs later.
function markShared({ request: { before }, shared }: HandoverPlan): Pick<HandedOver, "shared"> {
  if (shared !== undefined) return { shared };
  return before?.shared === undefined ? {} : { shared: { ...before.shared, isUnpublished: true } };
}

/**
 * Reads the record of the last hand-over of a package.
 *
 * @param force gives "lost" for a record that cannot be read
 * @returns "lost" also for a record that was set aside because it could not be read
 * @throws {CorruptError} when the record cannot be read
 */
export async function readHandedOver(
  id: PackageId,
  { records, force }: { records: PackageRecords; force?: boolean | undefined },
): Promise<HandedOver | "lost" | undefined> {
  try {
    const handedOver = await records.handovers.read(id);
    if (handedOver === undefined && await records.handovers.isSetAside(id)) return "lost";
    // The objects are needed in any case.
    handedOverObjects(handedOver);
    return handedOver;
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    if (force) return "lost";
    if (error instanceof RecordError) throw error;
    throw new CorruptError(
      cannot(`use the record of the hand-over of ${formatPackageId(id)}`, error.clause, error.advice),
      {
        cause: error,
        ...byForce("--force goes by the installed release instead"),
      },
    );
  }
}

async function readBefore(
  kubepkg: KubePkg,
  { handover, records, force, isRemoval = false }: HandOverOptions & { readonly isRemoval?: boolean },
): Promise<HandedOver | undefined> {
  const id = packageIdOf(kubepkg);
  const before = await readHandedOver(id, { records, force });
  if (before !== undefined && before !== "lost") return before;
  // A package that was imported without a hand-over need not be in the cluster, but the user wants it out of there.
  const known = isRemoval ? kubepkg : before === "lost" ? await records.read(id).catch(absentIfBroken) : undefined;
  // Where the folder does not exist, the plan says so.
  const place = known && await handover.place().catch(() => undefined);
  return known && place && { place, kubepkg: known, files: [] };
}

// What leaves the package and stays in the cluster: by decision, or because it was not seen to go. The next hand-over
// deletes the latter again.
function listKept({ changes: { kept, deleted } }: HandoverPlan, { remaining = [] }: HandoverResult): KubeObject[] {
  const isRemaining = ({ identity }: PackageObject) => remaining.includes(formatIdentity(identity));
  return [...kept.map(({ object }) => object), ...deleted.filter(isRemaining)].map(({ object }) => object);
}

// Several hand-overs may fail one after the other, each with other objects.
function listEarlierAttempts({ request: { before, package: kubepkg } }: HandoverPlan): KubeObject[] {
  if (before === undefined) return [];
  const { kubepkg: last, ...attempts } = before;
  const recorded = new Set([kubepkg, ...last === undefined ? [] : [last]].flatMap(packageObjects).map(keyOf));
  return handedOverObjects(attempts).filter((it) => !recorded.has(keyOf(it))).map(({ object }) => object);
}

function keyOf({ identity }: PackageObject): string {
  return identityKey(identity);
}

// What the cluster may have from now on: what it has, what it is given, or a part of either.
function recordAttempt(plan: HandoverPlan, place: HandoverPlace): HandedOver {
  const { request, file } = plan;
  const { before, package: kubepkg, isRemoval } = request;
  const { isRemoving: _, ...known } = before ?? { place, files: [] };
  const own = known.files.find(({ path }) => path === file?.path);
  return {
    ...known,
    // An interrupted removal is repeated at the place that it was told; an interrupted move begins again.
    place: isRemoval ? place : known.place,
    files: file === undefined ? known.files : [...known.files.filter((it) => it !== own), addDigest(own, file)],
    ...(isRemoval ? { isRemoving: true } : { attempted: kubepkg, kept: listEarlierAttempts(plan) }),
  };
}

function addDigest(own: OwnedFile | undefined, { path, digest }: { path: string; digest: Digest }): OwnedFile {
  if (own === undefined) return { path, digests: [digest] };
  return own.digests === undefined ? own : { path, digests: [...own.digests.filter((it) => it !== digest), digest] };
}

/** @returns the files that stay, and what the user has to know about the place that was left */
async function leavePreviousPlace(
  { request: { before, isRemoval }, file, changes: { deleted } }: HandoverPlan,
  place: HandoverPlace,
): Promise<{ files: readonly OwnedFile[]; note?: string }> {
  const files: OwnedFile[] = [];
  const notes: string[] = [];
  for (const old of before?.files ?? []) {
    if (old.path === file?.path) continue;
    const state = "kubectl" in place ? await removeOwnedFile(old) : await checkOwnedFile(old);
    if (state === "missing") continue;
    if (state === "own" && "kubectl" in place) notes.push(`${old.path} is removed, kubectl manages its objects now`);
    else {
      files.push(old);
      notes.push(
        `${old.path} ${describeOld(before, state)}; remove it if the same cluster reads it, ` +
          "which deletes nothing in the cluster",
      );
    }
  }
  if (before !== undefined && "kubectl" in before.place && "manifestsDir" in place && deleted.length > 0) {
    notes.push(
      `kubectl applied ${labelsOf(deleted).join(", ")}, which k3s therefore does not delete; delete them by hand`,
    );
  }
  // Later hand-overs to the same place do not repeat it.
  const isNews = isRemoval || before !== undefined && !isSamePlace(before.place, place);
  return { files, note: isNews && notes.length > 0 ? notes.join(". ") : undefined };
}

function describeOld(before: HandedOver | undefined, state: "own" | "changed"): string {
  if (state === "changed") return "was changed by hand since an earlier hand-over";
  return `has an earlier hand-over${before?.kubepkg === undefined ? "" : ` (${before.kubepkg.spec.version})`}`;
}
