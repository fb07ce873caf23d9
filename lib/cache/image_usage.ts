import type { Digest } from "../oci/digest.ts";
import { ManifestReader } from "../store/manifest_reader.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { listBlobSizes } from "../store/store_scan.ts";
import { type EvictableImage, listEvictableImages } from "./evictable_images.ts";

/** The disk space of one image. */
interface ImageUsage {
  /** Its tags; empty for an image without one. */
  readonly references: readonly string[];
  readonly digest: Digest;
  /** Bytes of all its content in the store. */
  readonly size: number;
  /** Bytes that no other image has: what removing it frees. */
  readonly unique: number;
}

/** The disk space of a store. */
export interface StoreUsage {
  /** The largest first. */
  readonly images: readonly ImageUsage[];
  /** Bytes of all blobs. */
  readonly total: number;
  /** Bytes of blobs that no image has. */
  readonly unreferenced: number;
}

/** Measures what the removal of tagged images frees, in bytes. @param references as `repository:tag` or `repository@digest` */
export async function measureFreed(root: string, references: readonly string[]): Promise<number> {
  const sizes = await listBlobSizes(root);
  const reader = new ManifestReader(root);
  const images = await listEvictableImages(root, (digest) => reader.read(digest), sizes);
  const going = new Set(references.flatMap(listNames));
  const isGoing = ({ root: digest, tags }: (typeof images)[number]) => {
    return tags.every(({ repo, tag }) => going.has(`${repo}:${tag}`)) &&
      (tags.length > 0 || references.some((it) => it.endsWith(`@${digest}`)));
  };
  const kept = new Set(images.filter((image) => !isGoing(image)).flatMap(({ digests }) => [...digests]));
  const freed = new Set(images.filter(isGoing).flatMap(({ digests }) => [...digests]).filter((it) => !kept.has(it)));
  return [...freed].reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0);
}

// An image as each of the names says it under which CNCF distribution may have filed its repository.
function listNames(reference: string): string[] {
  const [, repository = "", rest = ""] = /^(.*?)([:@][^/]*)$/.exec(reference) ?? [];
  return repositoryNames(repository).map((name) => `${name}${rest}`);
}

/** Measures what each image of a store takes, and shares with others. @param root the data folder */
export async function measureUsage(root: string): Promise<StoreUsage> {
  const sizes = await listBlobSizes(root);
  const reader = new ManifestReader(root);
  return summarizeUsage(await listEvictableImages(root, (digest) => reader.read(digest), sizes), sizes);
}

/** Adds up what each image takes, and shares with others. @param sizes sizes of all blobs of the store, in bytes */
export function summarizeUsage(
  images: readonly Pick<EvictableImage, "root" | "tags" | "digests">[],
  sizes: ReadonlyMap<Digest, number>,
): StoreUsage {
  const users = new Map<Digest, number>();
  for (const { digests } of images) for (const digest of digests) users.set(digest, (users.get(digest) ?? 0) + 1);
  const sumOf = (digests: Iterable<Digest>) => [...digests].reduce((sum, digest) => sum + (sizes.get(digest) ?? 0), 0);
  return {
    images: images.map(({ root: digest, tags, digests }) => ({
      references: tags.map(({ repo, tag }) => `${repo}:${tag}`).sort(),
      digest,
      size: sumOf(digests),
      unique: sumOf([...digests].filter((it) => users.get(it) === 1)),
    })).sort((a, b) => b.size - a.size || (a.digest < b.digest ? -1 : 1)),
    total: sumOf(sizes.keys()),
    unreferenced: sumOf([...sizes.keys()].filter((digest) => !users.has(digest))),
  };
}
