import { planBundle, type PlanEntry, platformsOf, type ResolvedImage } from "../../bundle/bundle_plan.ts";
import { describeForeignLayers } from "../../bundle/check_package.ts";
import { ImageResolver } from "../../bundle/resolve_image.ts";
import type { PullThrough } from "../../cache/pull_through.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import type { PackageImage } from "../../kubepkg/images_of.ts";
import { NoSpaceError } from "../../oci/error.ts";
import type { Platform } from "../../oci/platform.ts";
import { formatReference, type Reference, repositoryOf } from "../../oci/reference.ts";
import { countMissingBytes } from "../../store/missing_bytes.ts";
import type { OpenedStore } from "./open_store.ts";

const BLOBS_AT_A_TIME = 3;

/** Options of `pullImage`. */
export interface PullImageOptions extends Pick<OpenedStore, "source" | "store"> {
  /** The data folder. */
  readonly data: string;
  /** The platforms to pull; `undefined` for all that the image has. */
  readonly platforms: readonly Platform[] | undefined;
  /** Called with warnings before anything is downloaded. It may throw to stop. */
  readonly onResolved?: (warnings: readonly string[]) => void;
  /** Called with the bytes that are in the store, of the image's size. It may throw to stop. */
  readonly onProgress: (bytes: number, total: number) => void;
}

/**
 * Pulls one image into the store. The caller holds a write lease.
 *
 * @throws {NoSpaceError} when the data folder has no room for it
 * @throws {Error} when it is missing, or its registry cannot be asked
 */
export async function pullImage(wanted: Reference, options: PullImageOptions) {
  const { source, store, data, platforms, onResolved, onProgress } = options;
  const choice = platforms === undefined ? { platforms: "all" as const, isNamed: false } : { platforms, isNamed: true };
  const image = await new ImageResolver(source, choice, "pull").resolve(toPackageImage(wanted));
  onResolved?.(describeForeignLayers(image).map(({ message }) => message));
  await checkRoom(data, image);
  const size = await fetchAll(source, image, onProgress);
  const { descriptor } = image.root;
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
  };
}

// As in a package, an image with a tag and a digest is named by its tag; one with a digest only, by its digest.
function toPackageImage({ host, path, tag, digest }: Reference): PackageImage {
  const reference = tag !== undefined || digest === undefined
    ? { host, path, tag: tag ?? "latest" }
    : { host, path, digest };
  return { name: formatReference(reference), reference, ...(digest === undefined ? {} : { digest }) };
}

/** Checks that the data folder has room for an image. @throws {NoSpaceError} when it does not, with the numbers */
async function checkRoom(data: string, image: ResolvedImage): Promise<void> {
  const needed = countMissingBytes(data, planBundle([image]).entries.map(({ descriptor }) => descriptor));
  const free = await freeBytesOf(data);
  if (free === undefined || needed <= free) return;
  throw new NoSpaceError(
    `Cannot pull ${formatReference(image.reference)}: it needs ${needed} bytes in ${data}, ${free} are free, ` +
      `${needed - free} are missing`,
  );
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
