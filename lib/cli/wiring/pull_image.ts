import { planBundle, type PlanEntry, platformsOf, type ResolvedImage } from "../../bundle/bundle_plan.ts";
import { ReferrerFinder } from "../../bundle/find_referrers.ts";
import { ImageResolver } from "../../bundle/resolve_image.ts";
import { describeShortage } from "../../bytes/format_size.ts";
import type { PullThrough } from "../../cache/pull_through.ts";
import type { ContentStore } from "../../content/source.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import type { PackageImage } from "../../kubepkg/images_of.ts";
import type { Digest } from "../../oci/digest.ts";
import { NoSpaceError } from "../../oci/error.ts";
import type { Platform } from "../../oci/platform.ts";
import { formatReference, type Reference, repositoryOf } from "../../oci/reference.ts";
import { countMissingBytes } from "../../store/missing_bytes.ts";
import { formatCount } from "../console/quantity.ts";

const BLOBS_AT_A_TIME = 3;

/** What is pulled of an image. */
export interface PullChoice {
  /** The platforms to pull; `undefined` for all that the image has. */
  readonly platforms: readonly Platform[] | undefined;
  /** Whether signatures and other referrers are left out. */
  readonly withoutReferrers?: boolean;
  /** Receives why a referrer cannot be pulled. */
  readonly warn: (message: string) => void;
}

/** Options of `pullImage`. */
export interface PullImageOptions extends DownloadOptions, PullChoice {
  /** The data folder. */
  readonly data: string;
}

/** Options of `downloadImage`. */
export interface DownloadOptions {
  readonly source: PullThrough;
  readonly store: Pick<ContentStore, "tag">;
  /** Called with the bytes that are in the store, of the image's size. It may throw to stop. */
  readonly onProgress: (bytes: number, total: number) => void;
}

/**
 * Pulls one image into the store. The caller holds a write lease.
 *
 * @throws {NoSpaceError} when the data folder has no room for it
 * @throws {Error} when it is missing, or its registry cannot be asked
 */
export async function pullImage(wanted: Reference, options: PullImageOptions): Promise<PulledImage> {
  const image = await createImageResolver(options.source, options)(wanted);
  await checkRoom(options.data, [image]);
  return await downloadImage(image, options);
}

/** Creates the function that resolves the images to pull, and finds their referrers. */
export function createImageResolver(
  source: PullThrough,
  { platforms, withoutReferrers = false, warn }: PullChoice,
): (wanted: Reference) => Promise<ResolvedImage> {
  const choice = platforms === undefined ? { platforms: "all" as const, isNamed: false } : { platforms, isNamed: true };
  const resolver = new ImageResolver(source, choice, "pull");
  return async (wanted) => {
    const image = await resolver.resolve(toPackageImage(wanted));
    if (withoutReferrers) return image;
    // The limits of a finder are for one package, and for one image here.
    const { referrers, problems } = await new ReferrerFinder({ source, catalog: source }).find(image);
    for (const problem of problems) warn(`${formatReference(image.reference)}: ${problem}`);
    return { ...image, referrers };
  };
}

/** An image that was pulled. */
export interface PulledImage {
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly platforms: readonly string[];
  /** The size in bytes of all its content, with that of its referrers. */
  readonly size: number;
  /** How many referrers it has; absent if none. */
  readonly referrers?: number;
}

/** Downloads what the store does not have of an image, and tags it. The caller holds a write lease. */
export async function downloadImage(
  image: ResolvedImage,
  { source, store, onProgress }: DownloadOptions,
): Promise<PulledImage> {
  const size = await fetchAll(source, image, onProgress);
  const { descriptor } = image.root;
  const { referrers = [] } = image;
  for (const { tag, root } of referrers) {
    if (tag !== undefined) await store.tag(repositoryOf(image.reference), tag, root.descriptor.digest);
  }
  // The tag is written last. If the reference has a digest too, the tag points to that digest.
  if (image.reference.tag !== undefined) {
    await store.tag(repositoryOf(image.reference), image.reference.tag, descriptor.digest);
  }
  const { host, path, tag } = image.reference;
  return {
    reference: formatReference(tag === undefined ? { host, path } : { host, path, tag }),
    digest: descriptor.digest,
    mediaType: descriptor.mediaType,
    platforms: platformsOf(image.root),
    size,
    ...(referrers.length === 0 ? {} : { referrers: referrers.length }),
  };
}

// As in a package, an image with a tag and a digest is named by its tag; one with a digest only, by its digest.
function toPackageImage({ host, path, tag, digest }: Reference): PackageImage {
  const reference = tag !== undefined || digest === undefined
    ? { host, path, tag: tag ?? "latest" }
    : { host, path, digest };
  return { name: formatReference(reference), reference, ...(digest === undefined ? {} : { digest }) };
}

/** Checks that the data folder has room for images. @throws {NoSpaceError} when it does not, with the numbers */
export async function checkRoom(data: string, images: readonly ResolvedImage[]): Promise<void> {
  const needed = countMissingBytes(data, planBundle(images).entries.map(({ descriptor }) => descriptor));
  const free = await freeBytesOf(data);
  if (free === undefined || needed <= free) return;
  const what = images.length === 1
    ? formatReference(images[0]!.reference)
    : `${formatCount(images.length, "image")}, nothing was pulled`;
  throw new NoSpaceError(`Cannot pull ${what}: ${describeShortage(needed, free, data)}`);
}

/** Downloads every blob of an image into the store. @returns the size of all its content in bytes */
async function fetchAll(
  source: PullThrough,
  image: ResolvedImage,
  onProgress: PullImageOptions["onProgress"],
): Promise<number> {
  const { entries, size } = planBundle([image]);
  let done = 0;
  const advance = (bytes: number) => onProgress(done += bytes, size);
  for (const { descriptor } of entries.filter(({ type }) => type === "manifest")) advance(descriptor.size);
  const queue = entries.filter(({ type }) => type === "blob");
  const work = async () => {
    try {
      for (let entry = queue.shift(); entry !== undefined; entry = queue.shift()) {
        await fetchOne(source, entry, advance);
      }
    } catch (error) {
      queue.length = 0;
      throw error;
    }
  };
  // After a failure no further download starts; downloads in progress are awaited, so that their bytes are not lost.
  const results = await Promise.allSettled(Array.from({ length: BLOBS_AT_A_TIME }, work));
  const failed = results.find((result) => result.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return size;
}

async function fetchOne(
  source: PullThrough,
  { repository, descriptor: { digest, size } }: PlanEntry,
  advance: (bytes: number) => void,
): Promise<void> {
  let seen = 0;
  await source.fetchBlob(repository, { digest, size }, (available) => {
    advance(available - seen);
    seen = available;
  });
  advance(size - seen);
}
