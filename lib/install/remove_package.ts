import { rootDigest } from "../bundle/image_graph.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { planHandover, removeFromCluster } from "./hand_over_package.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover/handover.ts";
import { describeChanges, type ManifestDiff } from "./handover/manifest_file.ts";
import { type ImageFileResult, removeImageFile } from "./image_files.ts";
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
}

/**
 * Removes a package: its objects from the cluster, its tags and manifests from the store, and last its record and its
 * history. An interrupted removal can be repeated; it starts over.
 *
 * @throws {Error} when the package is not installed, or the data folder is not writable
 * @throws {RefusedError} when the package's file was changed by hand
 */
export async function removePackage(name: string, options: RemoveOptions): Promise<RemoveResult> {
  const { records, forgetImages, dryRun, forget } = options;
  using _lock = await records.lock();
  const installed = await records.read(name);
  if (installed === undefined) throw new Error(`Cannot remove ${name}: it is not installed`);
  const { version } = installed.spec;
  // The objects leave the cluster first. That must not happen if the rest of the removal is bound to fail.
  if (!dryRun) await checkWritable(records, name);
  const inCluster = forget ? {} : await removeObjects(installed, options);
  const isGone = inCluster.handedOver?.isConfirmed ?? inCluster.manifests === undefined;
  if (dryRun || !isGone) {
    const imageFile = await removeImageFile(records.images, installed, { dryRun: true });
    return { name, version, isRemoved: false, untagged: [], ...inCluster, ...(imageFile && { imageFile }) };
  }
  const own = [installed, ...await records.listHistory(name)];
  const named = new Set((await listOthers(records, name)).flatMap(referencesOf));
  const images = own.flatMap(releasedImages).map(({ repository, tag, digest }) => {
    return { repository, digest, tag: named.has(`${repository}:${tag}`) ? undefined : tag };
  });
  const untagged = await forgetImages(images, await collectPackageDigests(records, name));
  const imageFile = forget ? undefined : await removeImageFile(records.images, installed);
  if (forget) await records.images.remove(installed);
  await records.remove(name);
  return { name, version, isRemoved: true, untagged, ...inCluster, ...(imageFile && { imageFile }) };
}

async function removeObjects(
  installed: KubePkg,
  { records, openHandover, force, pruneData, dryRun }: RemoveOptions,
): Promise<Pick<RemoveResult, "handedOver" | "manifests">> {
  const handover = openHandover((await records.handovers.read(installed.metadata.name))?.place);
  if (handover === undefined) return {};
  const options = { handover, records, force, pruneData };
  if (dryRun) {
    const { changes, refusal } = await planHandover(installed, { ...options, isRemoval: true });
    if (refusal !== undefined) throw refusal;
    return { manifests: describeChanges(changes) };
  }
  await handover.prepare();
  const { plan, result } = await removeFromCluster(installed, options);
  return { handedOver: result, manifests: describeChanges(plan.changes) };
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
