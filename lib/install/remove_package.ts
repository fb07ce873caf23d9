import { rootDigest } from "../bundle/image_graph.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover/handover.ts";
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
  readonly handedOver?: HandoverResult;
  /** The removed tags, as `repository:tag`. */
  readonly untagged: readonly string[];
}

/**
 * Removes a package: its objects from the cluster, its tags and manifests from the store, and last its record and its
 * history. An interrupted removal can be repeated; it starts over.
 *
 * @throws {Error} when the package is not installed, or the data folder is not writable
 */
export async function removePackage(
  name: string,
  { records, openHandover, forgetImages }: RemoveOptions,
): Promise<RemoveResult> {
  using _lock = await records.lock();
  const installed = await records.read(name);
  if (installed === undefined) throw new Error(`Cannot remove ${name}: it is not installed`);
  // The objects leave the cluster first. That must not happen if the rest of the removal is bound to fail.
  await records.checkWritable().catch((cause) => {
    throw new Error(
      `Cannot remove ${name}: the data folder cannot be written (${cause.message}); nothing was changed`,
      {
        cause,
      },
    );
  });
  const recorded = await records.handovers.read(name);
  const handover = openHandover(recorded?.place);
  const handedOver = await handover?.remove(recorded?.kubepkg ?? installed);
  const own = [installed, ...await records.listHistory(name)];
  const named = new Set((await listOthers(records, name)).flatMap(referencesOf));
  const images = own.flatMap(releasedImages).map(({ repository, tag, digest }) => {
    return { repository, digest, tag: named.has(`${repository}:${tag}`) ? undefined : tag };
  });
  const untagged = await forgetImages(images, await collectPackageDigests(records, name));
  await records.remove(name);
  const { version } = installed.spec;
  return { name, version, untagged, ...(handedOver === undefined ? {} : { handedOver }) };
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
