import { rootDigest } from "../bundle/image_graph.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { planHandover, readHandedOver, removeFromCluster } from "./hand_over_package.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover/handover.ts";
import { describeChanges, type ManifestDiff } from "./handover/manifest_file.ts";
import { type ImageFileResult, removeImageFile } from "./image_files.ts";
import { checkOwnedFile, removeOwnedFile } from "./handover/owned_file.ts";
import { collectPackageDigests, type PackageRecords } from "./package_records.ts";

/** An image of a removed package. */
export interface ReleasedImage {
  readonly repository: string;
  readonly tag?: string | undefined;
  readonly digest: Digest;
}

/** Options of `removePackage`. */
export interface RemoveOptions {
  readonly records: PackageRecords;
  /** Opens the hand-over for the recorded place; `undefined` if the manifests were not handed over. */
  readonly openHandover: (recorded: HandoverPlace | undefined) => Handover | undefined;
  /** Deletes data, and a file that was changed by hand; see `HandoverRequest`. */
  readonly pruneData?: boolean | undefined;
  readonly force?: boolean | undefined;
  /** Only says what would happen. */
  readonly dryRun?: boolean | undefined;
  /** Leaves the cluster and the archive of images alone, and removes the records and images of the package. */
  readonly forget?: boolean | undefined;
  /**
   * Removes images from the store, except for content in `keep`.
   *
   * @returns the removed tags, as `repository:tag`
   */
  readonly forgetImages: (images: readonly ReleasedImage[], keep: ReadonlySet<Digest>) => Promise<readonly string[]>;
}

/** The result of a removal. */
export interface RemoveResult {
  readonly name: string;
  readonly version: string;
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
  /** The removed tags, as `repository:tag`. */
  readonly untagged: readonly string[];
  /** Manifest files of the package that stay where they are, because crpe forgets it. */
  readonly leftFiles: readonly string[];
}

/**
 * Removes a package: its objects from the cluster, its tags and manifests from the store, and last its record and its
 * history. An interrupted removal can be repeated; it starts over.
 *
 * @throws {Error} when the package is not installed, or the data folder is not writable
 * @throws {CorruptError} when a record is not valid, because what other packages need is not known then
 * @throws {RefusedError} when the package's file was changed by hand
 */
export async function removePackage(name: string, options: RemoveOptions): Promise<RemoveResult> {
  const { records, forgetImages, dryRun, forget } = options;
  using _lock = dryRun ? undefined : await records.lock();
  const installed = await records.read(name);
  if (installed === undefined) throw new Error(`Cannot remove ${name}: it is not installed`);
  const { version } = installed.spec;
  // The objects leave the cluster first. That must not happen if the rest of the removal is bound to fail.
  if (!dryRun) await checkWritable(records, name);
  await collectPackageDigests(records, name);
  const named = new Set((await listOthers(records, name)).flatMap(referencesOf));
  const own = [installed, ...await records.listHistory(name)];
  const inCluster = forget ? {} : await removeObjects(installed, options);
  const isGone = inCluster.handedOver?.isConfirmed ?? inCluster.manifests === undefined;
  if (dryRun || !isGone) {
    const imageFile = await removeImageFile(records.images, installed, { dryRun: true });
    return {
      name,
      version,
      isRemoved: false,
      untagged: [],
      leftFiles: [],
      ...inCluster,
      ...(imageFile && { imageFile }),
    };
  }
  const images = own.flatMap(releasedImages).map(({ repository, tag, digest }) => {
    return { repository, digest, tag: named.has(`${repository}:${tag}`) ? undefined : tag };
  });
  // Packages may have become pending while the cluster was waited for.
  const untagged = await forgetImages(images, await collectPackageDigests(records, name));
  const imageFile = forget ? undefined : await removeImageFile(records.images, installed);
  if (forget) await records.images.remove(installed);
  const leftFiles = forget ? await leaveFiles(name, records) : [];
  await records.remove(name);
  return { name, version, isRemoved: true, untagged, leftFiles, ...inCluster, ...(imageFile && { imageFile }) };
}

async function removeObjects(
  installed: KubePkg,
  { records, openHandover, force, pruneData, dryRun }: RemoveOptions,
): Promise<Pick<RemoveResult, "handedOver" | "manifests">> {
  const before = await readHandedOver(installed.metadata.name, { records, force });
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
async function leaveFiles(name: string, records: PackageRecords): Promise<string[]> {
  const before = await readHandedOver(name, { records, force: true });
  if (before === undefined || before === "lost") return [];
  const left: string[] = [];
  for (const file of before.files) {
    const { path, digests } = file;
    const isEmptied = before.isRemoving && "manifestsDir" in before.place &&
      path.startsWith(`${before.place.manifestsDir}/`);
    const state = isEmptied
      ? await removeOwnedFile({ path, digests: digests?.slice(-1) ?? [] })
      : await checkOwnedFile(file);
    if (state === "changed" || state === "own" && !isEmptied) left.push(path);
  }
  return left;
}

async function checkWritable(records: PackageRecords, name: string): Promise<void> {
  await records.checkWritable().catch((cause) => {
    throw new Error(
      `Cannot remove ${name}: the data folder cannot be written (${cause.message}); nothing was changed`,
      { cause },
    );
  });
}

async function listOthers(records: PackageRecords, name: string): Promise<KubePkg[]> {
  const others = (await records.list()).filter(({ metadata }) => metadata.name !== name);
  const histories = await Promise.all(others.map(({ metadata }) => records.listHistory(metadata.name)));
  return [...others, ...histories.flat()];
}

function referencesOf(kubepkg: KubePkg): string[] {
  return imagesOf(kubepkg).map(({ reference }) => formatReference(reference));
}

function releasedImages(kubepkg: KubePkg): ReleasedImage[] {
  return imagesOf(kubepkg).flatMap((image) => {
    try {
      const { reference } = image;
      return [{ repository: repositoryOf(reference), tag: reference.tag, digest: rootDigest(kubepkg, image) }];
    } catch (error) {
      // The record has no digest for the image, so there is nothing to find in the store.
      if (error instanceof CorruptError) return [];
      throw error;
    }
  });
}
