import type { Digest } from "../oci/digest.ts";

/** An image with what matters for eviction. */
interface Evictable {
  /** All content that it needs. */
  readonly digests: ReadonlySet<Digest>;
  /** The higher, the more recently it was used. */
  readonly rank: number;
  readonly isEvictable: boolean;
}

/** The space that an eviction has to free. */
interface EvictionGoal {
  /** Bytes to free. */
  readonly bytes: number;
  /** Sizes of the blobs in the store, in bytes. */
  readonly sizes: ReadonlyMap<Digest, number>;
  /** Reports whether a blob is kept even if all its images are evicted. */
  readonly isKept: (digest: Digest) => boolean;
}

/**
 * Chooses images to evict: the least recently used ones, and no more than necessary. Blobs that an image shares with a
 * remaining one free no space.
 *
 * @returns `undefined` when evicting all evictable images would not free enough; then none should be evicted
 */
export function planEviction<T extends Evictable>(
  images: readonly T[],
  { bytes, sizes, isKept }: EvictionGoal,
): T[] | undefined {
  if (bytes <= 0) return [];
  const users = new Map<Digest, number>();
  for (const { digests } of images) for (const digest of digests) users.set(digest, (users.get(digest) ?? 0) + 1);
  // Removes (-1) or restores (1) an image in `users`. Returns the number of bytes that this frees, or needs again.
  const change = (image: T, by: -1 | 1): number => {
    let sum = 0;
    for (const digest of image.digests) {
      const before = users.get(digest)!;
      users.set(digest, before + by);
      if (Math.min(before, before + by) === 0 && !isKept(digest)) sum += sizes.get(digest) ?? 0;
    }
    return sum;
  };
  const chosen: T[] = [];
  let freed = 0;
  for (const image of images.filter(({ isEvictable }) => isEvictable).sort((a, b) => a.rank - b.rank)) {
    if (freed >= bytes) break;
    freed += change(image, -1);
    chosen.push(image);
  }
  if (freed < bytes) return undefined;
  // Drops images whose eviction is not necessary: an old image may free nothing, because it shares its blobs with a
  // remaining one, or be superfluous because later ones free enough.
  for (const image of [...chosen].reverse()) {
    const loss = change(image, 1);
    if (freed - loss < bytes) change(image, -1);
    else {
      freed -= loss;
      chosen.splice(chosen.indexOf(image), 1);
    }
  }
  return chosen;
}
