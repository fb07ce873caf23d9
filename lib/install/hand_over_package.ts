import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { formatPackageId, isSamePackage, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import { packageObjects } from "../kubepkg/package_objects.ts";
import { RefusedError } from "../oci/error.ts";
import { FolderHandover } from "./handover/folder_handover.ts";
import type { Handover, HandoverPlace, HandoverPlan, HandoverRequest, HandoverResult } from "./handover/handover.ts";
import { type HandedOver, handedOverObjects, isSamePlace } from "./handover/handover_records.ts";
import { handoverFileName } from "./handover/manifest_file.ts";
import type { PackageRecords } from "./package_records.ts";
import { absentIfBroken, RecordError } from "./records/record_file.ts";

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
  const plan = await options.handover.plan(await createRequest(kubepkg, options));
  const { unreadable, isRemoval, force } = plan.request;
  if (unreadable === undefined || !isRemoval || force || plan.refusal !== undefined) return plan;
  const refusal = new RefusedError(
    `Cannot remove ${
      formatPackageId(packageIdOf(kubepkg))
    }: objects that it shares with another package are not known ` +
      `(${unreadable.message}); --force removes them too`,
    { cause: unreadable },
  );
  return { ...plan, refusal };
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
  { records, force = false, pruneData = false, isRemoval = false }: HandOverOptions & { isRemoval?: boolean },
): Promise<HandoverRequest> {
  const id = packageIdOf(kubepkg);
  const before = await records.handovers.read(id).catch((error) => {
    if (!force) throw error;
    return absentIfBroken(error);
  });
  const { packages, handedOver, problem } = await readOthers(id, records);
  return {
    package: kubepkg,
    isRemoval,
    unreadable: problem,
    // The hand-over of a removed package need not be recorded: its objects are those of the release.
    before: before ?? (isRemoval ? { place: { kubectl: true }, kubepkg } : undefined),
    others: [...packages.flatMap(packageObjects), ...handedOver.flatMap(handedOverObjects)],
    takenFiles: new Set(handedOver.flatMap(filesOf)),
    force,
    pruneData,
  };
}

// An interrupted first installation has a hand-over and no record.
async function readOthers(id: PackageId, records: PackageRecords) {
  const { packages, problems } = await records.scan();
  const handedOver: HandedOver[] = [];
  let problem: RecordError | undefined = problems.find((it) => !isSamePackage(it.id, id))?.error;
  for (const other of await records.listIds()) {
    if (isSamePackage(other, id)) continue;
    try {
      const found = await records.handovers.read(other);
      if (found !== undefined) handedOver.push(found);
    } catch (error) {
      if (!(error instanceof RecordError)) throw error;
      problem ??= error;
    }
  }
  return { packages: packages.filter((kubepkg) => !isSamePackage(packageIdOf(kubepkg), id)), handedOver, problem };
}

// crpe 0.1.0 did not record which file it wrote: there was one for each name.
function filesOf({ place, kubepkg, files }: HandedOver): string[] {
  if (files !== undefined) return files.map(({ path }) => path);
  return "manifestsDir" in place && kubepkg !== undefined ? [`${place.manifestsDir}/${handoverFileName(kubepkg)}`] : [];
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
