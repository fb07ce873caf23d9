import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { isSamePackage, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { packageObjects } from "../kubepkg/package_objects.ts";
import { FolderHandover } from "./handover/folder_handover.ts";
import type { Handover, HandoverPlace, HandoverPlan, HandoverRequest, HandoverResult } from "./handover/handover.ts";
import { type HandedOver, handedOverObjects, isSamePlace } from "./handover/handover_records.ts";
import { handoverFileName } from "./handover/manifest_file.ts";
import type { PackageRecords } from "./package_records.ts";
import { absentIfBroken } from "./records/record_file.ts";

/** How a package is handed over. */
export interface HandOverOptions {
  readonly handover: Handover;
  readonly records: PackageRecords;
  /** See `HandoverRequest`. */
  readonly force?: boolean | undefined;
  readonly pruneData?: boolean | undefined;
}

/** Decides what handing a package over, or removing it from the cluster, does; writes nothing. */
export async function planHandover(
  kubepkg: KubePkg,
  options: HandOverOptions & { readonly isRemoval?: boolean },
): Promise<HandoverPlan> {
  return await options.handover.plan(await createRequest(kubepkg, options));
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
  const plan = await planHandover(kubepkg, options);
  if (plan.refusal !== undefined) throw plan.refusal;
  const { before } = plan.request;
  const place = await handover.place();
  await records.handovers.write(id, recordAttempt(plan, place));
  const result = await handover.apply(plan);
  const note = before === undefined || isSamePlace(before.place, place)
    ? undefined
    : await leavePreviousPlace(before, place);
  await records.handovers.write(id, {
    place,
    kubepkg,
    kept: plan.changes.kept.map(({ object }) => object.object),
    files: plan.file === undefined ? [] : [{ path: plan.file.path, digests: [plan.file.digest] }],
    repeats: plan.repeats,
  });
  return { plan, result: { ...result, ...(note === undefined ? {} : { note }) } };
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
  const plan = await planHandover(kubepkg, { ...options, isRemoval: true });
  if (plan.refusal !== undefined) throw plan.refusal;
  const record = recordAttempt(plan, await handover.place());
  await records.handovers.write(packageIdOf(kubepkg), { ...record, isRemoving: true });
  return { plan, result: await handover.apply(plan) };
}

/** Reports whether exactly this release is handed over, and recorded at the place of `handover`. */
export async function isPackageHandedOver(kubepkg: KubePkg, options: HandOverOptions): Promise<boolean> {
  const { handover } = options;
  // What --force changes is not asked for.
  const plan = await planHandover(kubepkg, { ...options, force: false });
  const { before } = plan.request;
  if (before?.kubepkg === undefined || before.attempted !== undefined || before.isRemoving) return false;
  if (plan.changes.added.length > 0 || plan.changes.changed.length > 0 || plan.changes.deleted.length > 0) return false;
  return isSamePlace(before.place, await handover.place()) && await handover.isHandedOver(plan);
}

async function createRequest(
  kubepkg: KubePkg,
  { handover, records, force = false, pruneData = false, isRemoval = false }: HandOverOptions & { isRemoval?: boolean },
): Promise<HandoverRequest> {
  const id = packageIdOf(kubepkg);
  const before = await records.handovers.read(id).catch((error) => {
    if (!force) throw error;
    return absentIfBroken(error);
  });
  const { packages, handedOver, unreadable } = await readOthers(id, records);
  const place = unreadable.length === 0 ? undefined : await handover.place().catch(() => undefined);
  return {
    package: kubepkg,
    isRemoval,
    // The hand-over of a removed package need not be recorded: its objects are those of the release.
    before: before ?? (isRemoval ? { place: { kubectl: true }, kubepkg } : undefined),
    others: [...packages.flatMap(packageObjects), ...handedOver.flatMap(handedOverObjects)],
    takenFiles: new Set([
      ...handedOver.flatMap(filesOf),
      ...unreadable.flatMap((metadata) => fileIn(place, { metadata })),
    ]),
    force,
    pruneData,
  };
}

// An interrupted first installation has a hand-over and no record. A record that cannot be read is left out.
async function readOthers(id: PackageId, records: PackageRecords) {
  const packages: KubePkg[] = [];
  const handedOver: HandedOver[] = [];
  const unreadable: PackageId[] = [];
  const note = (other: PackageId) => (error: unknown) => {
    unreadable.push(other);
    return absentIfBroken(error);
  };
  for (const other of await records.listIds()) {
    if (isSamePackage(other, id)) continue;
    const installed = await records.read(other).catch(absentIfBroken);
    if (installed !== undefined) packages.push(installed);
    const found = await records.handovers.read(other).catch(note(other));
    if (found !== undefined) handedOver.push(found);
  }
  return { packages, handedOver, unreadable };
}

// crpe 0.1.0 did not record which file it wrote: there was one for each name.
function filesOf({ place, kubepkg, files }: HandedOver): string[] {
  return files?.map(({ path }) => path) ?? (kubepkg === undefined ? [] : fileIn(place, kubepkg));
}

function fileIn(place: HandoverPlace | undefined, kubepkg: { readonly metadata: PackageId }): string[] {
  return place !== undefined && "manifestsDir" in place ? [`${place.manifestsDir}/${handoverFileName(kubepkg)}`] : [];
}

function recordAttempt({ request, file }: HandoverPlan, place: HandoverPlace): HandedOver {
  const { before, package: kubepkg, isRemoval } = request;
  const files = before?.files ?? [];
  const digests = files.find(({ path }) => path === file?.path)?.digests ?? [];
  return {
    ...before,
    place: before?.place ?? place,
    ...(isRemoval ? {} : { attempted: kubepkg }),
    files: file === undefined ? files : [
      ...files.filter(({ path }) => path !== file.path),
      { path: file.path, digests: [...new Set([...digests, file.digest])] },
    ],
  };
}

async function leavePreviousPlace(
  { place: old, files = [], kubepkg }: HandedOver,
  place: HandoverPlace,
): Promise<string | undefined> {
  if (!("manifestsDir" in old)) return undefined;
  const handover = new FolderHandover(old.manifestsDir);
  for (const { path } of files) {
    if ("kubectl" in place) {
      if (await handover.removeFileOnly(path)) return `${path} is removed, kubectl manages its objects now`;
    } else if (await handover.hasFile(path)) {
      return `${path} has an earlier hand-over${
        kubepkg === undefined ? "" : ` (${kubepkg.spec.version})`
      }; remove it if ` +
        "the same cluster reads it, which deletes nothing in the cluster";
    }
  }
  return undefined;
}
