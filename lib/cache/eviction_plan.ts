import type { Digest } from "../oci/digest.ts";

/** An image as far as its room goes. */
export interface Evictable {
  /** Everything that it needs. */
  readonly digests: ReadonlySet<Digest>;
  /** The higher, the later it was used. */
  readonly rank: number;
  readonly mayGo: boolean;
}

/** What there is to gain. */
export interface EvictionGoal {
  /** How many have to become free. */
  readonly bytes: number;
  /** Of what the store holds, in bytes. */
  readonly sizes: ReadonlyMap<Digest, number>;
  /** Whether a blob stays whatever happens to its images. */
  readonly isKept: (digest: Digest) => boolean;
}

/**
 * Chooses the images that make room: those that were not used for longest, and no more than it takes. What an image
 * shares with one that stays is no gain.
 *
 * @returns `undefined` when all that may go is not enough; then nothing should
 */
export function planEviction<T extends Evictable>(
  images: readonly T[],
  { bytes, sizes, isKept }: EvictionGoal,
): T[] | undefined {
  if (bytes <= 0) return [];
  const users = new Map<Digest, number>();
  for (const { digests } of images) for (const digest of digests) users.set(digest, (users.get(digest) ?? 0) + 1);
  // What becomes free, or is not free any more, when an image goes or comes back.
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
  let gained = 0;
  for (const image of images.filter(({ mayGo }) => mayGo).sort((a, b) => a.rank - b.rank)) {
    if (gained >= bytes) break;
    gained += change(image, -1);
    chosen.push(image);
  }
  if (gained < bytes) return undefined;
  // An old image may have given nothing, because what it shares stays, or less than it takes by now.
  for (const image of [...chosen].reverse()) {
    const loss = change(image, 1);
    if (gained - loss < bytes) change(image, -1);
    else {
      gained -= loss;
      chosen.splice(chosen.indexOf(image), 1);
    }
  }
  return chosen;
}
