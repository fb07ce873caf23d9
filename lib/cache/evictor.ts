import type { Digest } from "../oci/digest.ts";
import { removeIfUnused } from "../store/data_folder.ts";
import { blobPath, partialPath } from "../store/layout.ts";
import { markReachable } from "../store/reachable.ts";
import { ManifestReader } from "../store/store_scan.ts";
import type { StoreSizes } from "../store/store_sizes.ts";
import { removeFile } from "../store/trash.ts";
import { tryExcludeWriters } from "../store/write_lease.ts";
import type { AccessOrder } from "./access_order.ts";
import { type EvictableImage, listCacheImages, removeImage } from "./evictable_images.ts";
import { planEviction } from "./eviction_plan.ts";

/** An image that had to go. */
export interface EvictedImage {
  readonly digest: Digest;
  /** What it was known as: `docker.io/library/nginx:1.27`; none where it had no tag. */
  readonly references: readonly string[];
}

/** What an eviction has to know of those who use the store. */
export interface EvictorOptions {
  /** The data folder. */
  readonly root: string;
  /** What holds manifests in memory, and has to forget those that are gone. */
  readonly store: { forgetManifest(repo: string, digest: Digest): void };
  /** What stays whatever happens: the content of packages. Asked before anything is evicted. */
  readonly readKeep?: () => Promise<ReadonlySet<Digest>>;
  /** Whether a blob is being downloaded. */
  readonly isBusy?: (digest: Digest) => boolean;
  /** Told of each image that was evicted, and how many bytes it gave. */
  readonly onEvict?: (image: EvictedImage, bytes: number) => void;
}

/** What is counted and noted of a store. */
export interface StoreState {
  readonly sizes: StoreSizes;
  readonly order: AccessOrder;
  /** Manifests that were asked for and are not counted yet. */
  readonly fresh: ReadonlySet<Digest>;
}

/** What room is wanted for. */
export interface SpaceRequest {
  readonly bytes: number;
  /** `undefined`: nobody said what it is. */
  readonly digest: Digest | undefined;
}

/** The store as an eviction finds it. */
interface StoreSnapshot {
  /** Those that are still there. */
  readonly images: Set<EvictableImage>;
  /** What packages need. */
  readonly kept: ReadonlySet<Digest>;
}

const TRIES = 3;

/** Takes away from a store what was not used for longest. */
export class Evictor {
  readonly #options: EvictorOptions;
  readonly #root: string;
  readonly #sizes: StoreSizes;
  readonly #order: AccessOrder;
  readonly #fresh: ReadonlySet<Digest>;
  readonly #reader: ManifestReader;

  constructor(options: EvictorOptions, { sizes, order, fresh }: StoreState) {
    this.#options = options;
    this.#root = options.root;
    this.#sizes = sizes;
    this.#order = order;
    this.#fresh = fresh;
    this.#reader = new ManifestReader(options.root);
  }

  /** Evicts until what is wanted fits into `room` bytes. @returns `false` when that cannot be */
  async makeRoom(wanted: SpaceRequest, room: number): Promise<boolean> {
    const shortage = () => this.#sizes.total + wanted.bytes - room;
    using alone = await tryExcludeWriters(this.#root);
    if (alone === undefined) return false;
    await this.#sizes.refresh();
    // Again where somebody used meanwhile what was about to go.
    for (let tries = 0; tries < TRIES && shortage() > 0; tries++) {
      if (!await this.#evictOnce(wanted, shortage)) return false;
    }
    return shortage() <= 0;
  }

  /**
   * Removes images that will not become whole, since there was no room for a blob of them; nobody could pull them.
   *
   * @param refused blobs that found no room; those that are dealt with are taken out
   */
  async dropUnfinished(refused: Set<Digest>): Promise<void> {
    using alone = await tryExcludeWriters(this.#root);
    if (alone === undefined) return;
    const snapshot = await this.#takeSnapshot();
    for (const digest of [...refused]) {
      const users = [...snapshot.images].filter((image) => image.digests.has(digest) && !image.isWhole);
      const idle = users.filter((image) => !this.#isInUse(image));
      for (const image of idle) if (!snapshot.kept.has(image.root)) await this.#evict(image, snapshot);
      if (idle.length === users.length) refused.delete(digest);
    }
  }

  async #evictOnce(wanted: SpaceRequest, shortage: () => number): Promise<boolean> {
    const snapshot = await this.#takeSnapshot();
    const ranks = new Map([...snapshot.images].map((image) => [image, this.#rankOf(image)]));
    // No image goes for a blob that no image here needs: nobody could pull it by itself.
    const isOfImage = wanted.digest === undefined ||
      [...snapshot.images].some(({ digests }) => digests.has(wanted.digest!));
    const evictable = [...ranks].map(([image, rank]) => ({
      image,
      digests: image.digests,
      rank,
      mayGo: isOfImage && !snapshot.kept.has(image.root) && !this.#isInUse(image) && !isWanted(image, wanted, ranks),
    }));
    const plan = (bytes: number) =>
      planEviction(evictable, { bytes, sizes: this.#sizes.blobs, isKept: (digest) => this.#isKept(digest, snapshot) });
    const loose = this.#findLoose(snapshot, wanted);
    const looseBytes = loose.reduce((sum, { bytes }) => sum + bytes, 0);
    const rest = Math.max(0, await this.#missingWith(wanted.digest, snapshot) - wanted.bytes);
    // Either there is room for all of an image, or nothing has to go for a part of it.
    if (plan(shortage() + rest - looseBytes) === undefined) return false;
    for (const { digest, remove } of loose) {
      if (shortage() <= 0) break;
      await remove();
      this.#sizes.measure(digest);
    }
    for (const { image, rank } of plan(shortage()) ?? []) {
      if (this.#rankOf(image) === rank && !this.#isInUse(image)) await this.#evict(image, snapshot);
    }
    return true;
  }

  async #evict(image: EvictableImage, snapshot: StoreSnapshot): Promise<void> {
    const before = this.#sizes.total;
    // Manifests that were filed since the look around, by clients of this server.
    const late = await markReachable({ roots: this.#fresh, read: (digest) => this.#reader.read(digest) });
    snapshot.images.delete(image);
    const others = [...snapshot.images];
    await removeImage(this.#root, image, {
      stays: (digest) =>
        this.#isKept(digest, snapshot) || late.has(digest) || others.some(({ digests }) => digests.has(digest)),
      onManifest: (repo, digest) => {
        this.#options.store.forgetManifest(repo, digest);
        this.#reader.forget(digest);
      },
      onBlob: (digest) => this.#sizes.measure(digest),
    });
    const references = image.tags.map(({ repo, tag }) => `${repo}:${tag}`).sort();
    this.#options.onEvict?.({ digest: image.root, references }, before - this.#sizes.total);
  }

  async #takeSnapshot(): Promise<StoreSnapshot> {
    const read = (digest: Digest) => this.#reader.read(digest);
    const kept = await markReachable({ roots: await this.#options.readKeep?.() ?? [], read });
    return { images: new Set(await listCacheImages(this.#root, read, this.#sizes.blobs)), kept };
  }

  #isActive(digest: Digest): boolean {
    return this.#sizes.isBooked(digest) || (this.#options.isBusy?.(digest) ?? false);
  }

  #isInUse({ digests }: EvictableImage): boolean {
    for (const digest of digests) if (this.#isActive(digest)) return true;
    return false;
  }

  #isKept(digest: Digest, { kept }: StoreSnapshot): boolean {
    return kept.has(digest) || this.#isActive(digest);
  }

  #rankOf({ digests }: EvictableImage): number {
    let rank = 0;
    for (const digest of digests) rank = Math.max(rank, this.#order.rankOf(digest));
    return rank;
  }

  /** Bytes that the image manifest which was asked for last, of those with this blob, still needs. */
  async #missingWith(wanted: Digest | undefined, { images }: StoreSnapshot): Promise<number> {
    if (wanted === undefined) return 0;
    let latest = -1;
    let missing = 0;
    const near = [...images].filter(({ digests }) => digests.has(wanted)).flatMap(({ digests }) => [...digests]);
    for (const manifest of new Set(near)) {
      const rank = this.#order.rankOf(manifest);
      const links = rank > latest && this.#sizes.blobs.has(manifest) ? await this.#reader.read(manifest) : undefined;
      if (links === undefined || !links.blobs.some(({ digest }) => digest === wanted)) continue;
      latest = rank;
      const absent = links.blobs.filter(({ digest }) =>
        !this.#sizes.blobs.has(digest) && !this.#sizes.isBooked(digest)
      );
      missing = [...new Map(absent.map(({ digest, size }) => [digest, size])).values()]
        .reduce((sum, size) => sum + size, 0);
    }
    return missing;
  }

  /** What no image needs: blobs, then interrupted downloads. */
  #findLoose(snapshot: StoreSnapshot, { digest: wanted }: SpaceRequest) {
    const needed = new Set([...snapshot.images].flatMap(({ digests }) => [...digests]));
    const isLoose = (digest: Digest) => digest !== wanted && !this.#isKept(digest, snapshot);
    const blobs = [...this.#sizes.blobs].filter(([digest]) => !needed.has(digest) && isLoose(digest));
    const partials = [...this.#sizes.partials].filter(([digest]) => isLoose(digest));
    return [
      ...blobs.map(([digest, bytes]) => ({ digest, bytes, remove: () => removeFile(this.#root, blobPath(digest)) })),
      ...partials.map(([digest, bytes]) => (
        { digest, bytes, remove: () => removeIfUnused(`${this.#root}/${partialPath(digest)}`) }
      )),
    ];
  }
}

// The image that room is made for; where nobody said what it is, the one that was asked for last.
function isWanted(
  image: EvictableImage,
  { digest }: SpaceRequest,
  ranks: ReadonlyMap<EvictableImage, number>,
): boolean {
  if (digest !== undefined) return image.digests.has(digest);
  const rank = ranks.get(image)!;
  return rank > 0 && [...ranks.values()].every((other) => other <= rank);
}
