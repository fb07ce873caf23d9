import {
  type CarriedReferrer,
  planBundle,
  type PlanEntry,
  platformsOf,
  type ResolvedImage,
} from "../../bundle/bundle_plan.ts";
import { ReferrerFinder } from "../../bundle/find_referrers.ts";
import { ImageResolver } from "../../bundle/resolve_image.ts";
import { describeShortage } from "../../bytes/format_size.ts";
import type { PullThrough } from "../../cache/pull_through.ts";
import { runBounded } from "../../content/bounded_tasks.ts";
import type { ContentStore } from "../../content/source.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import type { PackageImage } from "../../kubepkg/images_of.ts";
import type { Digest } from "../../oci/digest.ts";
import { cannot, CorruptError, NoSpaceError, RegistryError } from "../../oci/error.ts";
import type { Platform } from "../../oci/platform.ts";
import { formatReference, type Reference, repositoryOf, withTagOrDigest } from "../../oci/reference.ts";
import { countMissingBytes } from "../../store/missing_bytes.ts";
import { formatCount } from "../console/quantity.ts";

const BLOBS_AT_A_TIME = 3;

/** What is pulled of an image. */
interface PullChoice {
  /** The platforms to pull; `undefined` for all that the image has. */
  readonly platforms: readonly Platform[] | undefined;
  /** Whether signatures and other referrers are left out. */
  readonly withoutReferrers?: boolean;
  /** Receives why a referrer cannot be pulled. */
  readonly warn: (message: string) => void;
}

/** Options of `pullImage`. */
interface PullImageOptions extends DownloadOptions, PullChoice {
  /** The data folder that must have room for the image; absent where it is stored in a bucket. */
  readonly data?: string | undefined;
}

/** Options of `downloadImage`. */
export interface DownloadOptions {
  readonly source: PullThrough;
  readonly store: Pick<ContentStore, "tag">;
  /** Called with the bytes that are in the store, of the image's size. It may throw to stop. */
  readonly onProgress: (bytes: number, total: number) => void;
  /** Receives why a referrer cannot be pulled. */
  readonly warn: (message: string) => void;
}

/**
 * Pulls one image into the store. The caller holds a write lease.
 *
 * @throws {NoSpaceError} when the data folder has no room for it
 * @throws {Error} when it is missing, or its registry cannot be asked
 */
export async function pullImage(wanted: Reference, options: PullImageOptions): Promise<PulledImage> {
  const image = await createImageResolver(options.source, options)(wanted);
  if (options.data !== undefined) await checkRoom(options.data, [image]);
  return await downloadImage(image, options);
}

/** Creates the function that resolves the images to pull, and finds their referrers. */
export function createImageResolver(
  source: PullThrough,
  { platforms, withoutReferrers = false, warn }: PullChoice,
): (wanted: Reference) => Promise<ResolvedImage> {
  const choice = platforms === undefined ? { platforms: "all" as const, isNamed: false } : { platforms, isNamed: true };
  const resolver = new ImageResolver(source, choice, "pull");
  const failed = new Map<string, string>();
  return async (wanted) => {
    const image = await resolver.resolve(toPackageImage(wanted));
    if (withoutReferrers) return image;
    // The limits of a finder are for one package, and for one image here.
    const { referrers, problems } = await new ReferrerFinder({ source, catalog: source, failed }).find(image);
    for (const problem of problems) warn(`${formatReference(image.reference)}: ${problem}`);
    return { ...image, referrers };
  };
}

/** An image that was pulled. */
interface PulledImage {
  readonly reference: string;
  readonly digest: Digest;
  readonly mediaType: string;
  readonly platforms: readonly string[];
  /** The size in bytes of all its content, with that of its referrers. */
  readonly size: number;
  /** How many referrers it has; absent if none. */
  readonly referrers?: number;
}

/**
 * Downloads what the store does not have of an image, and tags it. A referrer that cannot be downloaded does not keep the
 * image from being pulled. The caller holds a write lease.
 */
export async function downloadImage(
  image: ResolvedImage,
  { source, store, onProgress, warn }: DownloadOptions,
): Promise<PulledImage> {
  const { referrers: found = [], ...alone } = image;
  const downloads = new Downloads(source, { total: planBundle([image]).size, onProgress });
  await downloads.fetchAll(alone);
  const referrers: CarriedReferrer[] = [];
  for (const referrer of found) {
    const { tag, root: { descriptor: { digest } } } = referrer;
    try {
      await downloads.fetchAll({ ...alone, referrers: [referrer] });
    } catch (error) {
      if (!(error instanceof CorruptError || error instanceof RegistryError) || error instanceof NoSpaceError) {
        throw error;
      }
      warn(`${formatReference(image.reference)}: its referrer ${digest} is left out: ${error.message}`);
      continue;
    }
    referrers.push(referrer);
    if (tag !== undefined) await store.tag(repositoryOf(image.reference), tag, digest);
  }
  const { descriptor } = image.root;
  const { size } = planBundle([{ ...alone, referrers }]);
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
    referrers: referrers.length || undefined,
  };
}

// As in a package, an image with a tag and a digest is named by its tag; one with a digest only, by its digest.
function toPackageImage(image: Reference): PackageImage {
  const reference = withTagOrDigest(image);
  return { name: formatReference(reference), reference, digest: image.digest };
}

/** Checks that the data folder has room for images. @throws {NoSpaceError} when it does not, with the numbers */
export async function checkRoom(data: string, images: readonly ResolvedImage[]): Promise<void> {
  const needed = countMissingBytes(data, planBundle(images).entries);
  const free = await freeBytesOf(data);
  if (free === undefined || needed <= free) return;
  const what = images.length === 1
    ? formatReference(images[0]!.reference)
    : `${formatCount(images.length, "image")}, nothing was pulled`;
  throw new NoSpaceError(cannot(`pull ${what}`, describeShortage(needed, free, data)));
}

/** The downloads of an image and its referrers into the store: what several of them have is downloaded once. */
class Downloads {
  readonly #source: PullThrough;
  readonly #options: Pick<DownloadOptions, "onProgress"> & { readonly total: number };
  readonly #fetched = new Set<Digest>();
  #bytes = 0;

  constructor(source: PullThrough, options: Pick<DownloadOptions, "onProgress"> & { readonly total: number }) {
    this.#source = source;
    this.#options = options;
  }

  /** Downloads every blob that was not downloaded yet. */
  async fetchAll(image: ResolvedImage): Promise<void> {
    const entries = planBundle([image]).entries.filter(({ descriptor }) => !this.#fetched.has(descriptor.digest));
    for (const { type, descriptor } of entries) {
      if (type !== "manifest") continue;
      this.#advance(descriptor.size);
      this.#fetched.add(descriptor.digest);
    }
    // Downloads in progress are awaited after a failure, so that their bytes are not lost.
    await runBounded(entries.filter(({ type }) => type === "blob"), BLOBS_AT_A_TIME, async (entry) => {
      await this.#fetchOne(entry);
      this.#fetched.add(entry.descriptor.digest);
    });
  }

  async #fetchOne({ repository, descriptor: { digest, size } }: PlanEntry): Promise<void> {
    let seen = 0;
    await this.#source.fetchBlob(repository, { digest, size }, (available) => {
      this.#advance(available - seen);
      seen = available;
    });
    this.#advance(size - seen);
  }

  #advance(bytes: number): void {
    this.#options.onProgress(this.#bytes += bytes, this.#options.total);
  }
}
