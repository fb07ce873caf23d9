import { removeIfPresent } from "../files/durable.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import { formatPackageId, type PackageId, packageIdOf } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CrpeError } from "../oci/error.ts";
import { formatReference } from "../oci/reference.ts";
import { planHandover, readHandedOver, removeFromCluster } from "./hand_over_package.ts";
import type { Handover, HandoverResult } from "./handover/handover.ts";
import type { HandoverPlace } from "./handover/handover_records.ts";
import { describeChanges, type ManifestDiff } from "./handover/manifest_file.ts";
import { type ImageFileResult, removeImageFile } from "./image_files.ts";
import { checkOwnedFile, removeOwnedFile } from "./handover/owned_file.ts";
import { collectPackageDigests } from "./package_digests.ts";
import type { PackageRecords } from "./package_records.ts";
import { RECORD } from "./records/package_folders.ts";
import { absentIfBroken, type RecordError } from "./records/record_file.ts";
import { listOtherPackages } from "./read_other_packages.ts";
import { giveBackTags, ownImages, type TagContext } from "./shared_tags.ts";
import type { DiskStore } from "../store/disk_store.ts";
import type { UnwantedImage } from "../store/forget_images.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** Options of `removePackage`. */
export interface RemoveOptions extends TagContext {
  /** Opens the hand-over for the recorded place; `undefined` if the manifests were not handed over. */
  readonly openHandover: (recorded: HandoverPlace | undefined) => Handover | undefined;
  /** Deletes data, and a file that was changed by hand; see `HandoverRequest`. */
  readonly pruneData?: boolean | undefined;
  readonly force?: boolean | undefined;
  /** Only says what would happen. */
  readonly dryRun?: boolean | undefined;
  /** Leaves the cluster and the archive of images alone, and removes the records and images of the package. */
  readonly forget?: boolean | undefined;
  /** Also removes images, and lists the tags that go, or would. In a bucket nothing but tags go. */
  readonly store: TagContext["store"] & Pick<DiskStore, "forgetImages">;
}

/** The result of a removal. */
export interface RemoveResult {
  readonly name: string;
  readonly namespace: string;
  /** The version that was installed; absent if the record could not be read. */
  readonly version?: string;
  /**
   * Whether the package is removed. False for a dry run, and while nothing confirms that its objects are gone from the
   * cluster: its record, tags and manifests stay until then.
   */
  readonly isRemoved: boolean;
  readonly handedOver?: HandoverResult;
  /** What happens to the objects in the cluster; `undefined` if the package was not handed over. */
  readonly manifests?: ManifestDiff;
  /** The archive with the images of the package. */
  readonly imageFile?: ImageFileResult;
  /** The removed tags, or those that would be, as `repository:tag`. */
  readonly untagged: readonly string[];
  /** Which tags go to the images of other packages, or would, a sentence each. */
  readonly movedTags: readonly string[];
  /** Manifest files of the package that stay where they are, because crpe forgets it. */
  readonly leftFiles: readonly string[];
}

const NO_TAGS = { untagged: [], movedTags: [] };

/**
 * Removes a package: its objects from the cluster, its tags and manifests from the store, and last its record and its
 * history. An interrupted removal can be repeated; it starts over.
 *
 * With `forget`, records that cannot be read are removed as well, and the images stay. While a record of another package
 * cannot be read, all content that its files still name stays.
 *
 * @throws {Error} when the package is not installed, or the data folder is not writable
 * @throws {RefusedError} when the package's file was changed by hand
 * @throws {RecordError} when a record of the package cannot be read
 */
export async function removePackage(id: PackageId, options: RemoveOptions): Promise<RemoveResult> {
  const { records, dryRun, forget } = options;
  // The objects leave the cluster first. That must not happen if the rest of the removal is bound to fail.
  if (!dryRun) await checkWritable(records, formatPackageId(id));
  await using _lock = dryRun ? undefined : await records.lock();
  if (!forget) await records.images.read(id);
  const problems = forget ? await records.listProblems(id) : [];
  const installed = await readInstalled(id, records, problems);
  const result = { ...id, version: installed?.spec.version };
  const inCluster = forget || installed === undefined ? {} : await removeObjects(installed, options);
  const isGone = inCluster.handedOver?.isConfirmed ?? inCluster.manifests === undefined;
  if (dryRun || !isGone) {
    const imageFile = installed && await removeImageFile(records.images, installed, { dryRun: true });
    const tags = dryRun && installed && problems.length === 0 ? await releaseImages(installed, options) : NO_TAGS;
    return { ...result, isRemoved: false, ...tags, leftFiles: [], ...inCluster, ...(imageFile && { imageFile }) };
  }
  const tags = problems.length > 0 || installed === undefined ? NO_TAGS : await releaseImages(installed, options);
  const imageFile = forget || installed === undefined ? undefined : await removeImageFile(records.images, installed);
  if (forget) await records.images.remove(id);
  const leftFiles = forget ? await leaveFiles(id, records) : [];
  // The record of the installed release is removed last.
  for (const { path } of problems) if (!path.endsWith(`/${RECORD.current}`)) await removeIfPresent(path);
  await records.remove(id);
  return { ...result, isRemoved: true, ...tags, leftFiles, ...inCluster, ...(imageFile && { imageFile }) };
}

async function readInstalled(
  id: PackageId,
  records: PackageRecords,
  problems: readonly RecordError[],
): Promise<KubePkg | undefined> {
  const installed = problems.length > 0 ? await records.read(id).catch(absentIfBroken) : await records.read(id);
  if (installed !== undefined || problems.length > 0) return installed;
  throw new CrpeError(cannot(`remove ${formatPackageId(id)}`, "it is not installed"));
}

async function removeObjects(
  installed: KubePkg,
  { records, openHandover, force, pruneData, dryRun }: RemoveOptions,
): Promise<Pick<RemoveResult, "handedOver" | "manifests">> {
  const before = await readHandedOver(packageIdOf(installed), { records, force });
  const handover = openHandover(before === "lost" ? undefined : before?.place);
  if (handover === undefined) return {};
  const options = { handover, records, force, pruneData };
  if (dryRun) {
    const { plan: { changes, refusal } } = await planHandover(installed, { ...options, isRemoval: true });
    if (refusal !== undefined) throw refusal;
    return { manifests: describeChanges(changes) };
  }
  await handover.prepare();
  const { plan, result } = await removeFromCluster(installed, options);
  return { handedOver: result, manifests: describeChanges(plan.changes) };
}

/**
 * Removes the manifest files that a removal has emptied before. A file that still has the package's objects stays, since
 * the cluster is left alone.
 *
 * @returns the files that stay
 */
async function leaveFiles(id: PackageId, records: PackageRecords): Promise<string[]> {
  const before = await readHandedOver(id, { records, force: true });
  if (before === undefined || before === "lost") return [];
  const left: string[] = [];
  for (const file of before.files) {
    const { path, digests } = file;
    const isEmptied = before.isRemoving && "manifestsDir" in before.place &&
      path.startsWith(`${before.place.manifestsDir}/`);
    const state = isEmptied
      ? await removeOwnedFile(digests === undefined ? file : { path, digests: digests.slice(-1) })
      : await checkOwnedFile(file);
    if (state === "changed" || state === "own" && !isEmptied) left.push(path);
  }
  return left;
}

async function releaseImages(
  installed: KubePkg,
  { records, store, dryRun = false }: RemoveOptions,
): Promise<Pick<RemoveResult, "untagged" | "movedTags">> {
  const id = packageIdOf(installed);
  const problems: RecordError[] = [];
  const keep = await collectPackageDigests(records, { except: id, onProblem: (error) => problems.push(error) });
  // Which tags a package with a damaged record needs is not known, only which digests.
  const isNeeded = (digest: Digest) => problems.length > 0 && keep.has(digest);
  const named = new Set((await listOthers(records, id)).flatMap(referencesOf));
  const own = [installed, ...await records.listHistory(id)];
  const movedTags = await giveBackTags(id, { releases: own, dryRun }, { records, store });
  const images = own.flatMap(releasedImages).map(({ repository, tag, digest }) => {
    return { repository, digest, tag: named.has(`${repository}:${tag}`) || isNeeded(digest) ? undefined : tag };
  });
  return { untagged: await store.forgetImages(images, { keep, dryRun }), movedTags };
}

async function checkWritable(records: PackageRecords, name: string): Promise<void> {
  await records.checkWritable().catch((cause) => {
    throw new CrpeError(
      cannot(
        `remove ${name}`,
        `the data folder cannot be written (${describeSystemError(cause)})`,
        "nothing was changed",
      ),
      { cause },
    );
  });
}

async function listOthers(records: PackageRecords, id: PackageId): Promise<KubePkg[]> {
  const releases = await Promise.all((await listOtherPackages(records, id)).map(async (other) => {
    return [other, ...await records.listHistory(packageIdOf(other))];
  }));
  return releases.flat();
}

function referencesOf(kubepkg: KubePkg): string[] {
  const images = imagesOf(kubepkg).map(({ reference }) => formatReference(reference));
  return [...images, ...referrersOf(kubepkg).map(({ name, tag }) => `${name}:${tag}`)];
}

function releasedImages(kubepkg: KubePkg): UnwantedImage[] {
  const referrers = referrersOf(kubepkg).map(({ name: repository, tag, digest }) => ({ repository, tag, digest }));
  return [...ownImages(kubepkg), ...referrers];
}
