import type { Digest } from "../oci/digest.ts";
import { blobPath } from "../store/layout.ts";
import { removePartialsOf } from "../store/partial_files.ts";
import { markReachable } from "../store/reachable.ts";
import { ManifestReader } from "../store/manifest_reader.ts";
import type { StoreSizes } from "../store/store_sizes.ts";
import { removeFile } from "../store/trash.ts";
import { tryExcludeWriters } from "../store/write_lease.ts";
import type { AccessOrder } from "./access_order.ts";
import { type EvictableImage, listEvictableImages, removeImage } from "./evictable_images.ts";
import { planEviction } from "./eviction_plan.ts";

/** An image that was evicted. */
export interface EvictedImage {
  readonly digest: Digest;
  /** Its tagged references, such as `docker.io/library/nginx:1.27`; empty for an untagged image. */
  readonly references: readonly string[];
}

/** Options of an `Evictor`. */
export interface EvictorOptions {
  /** The data folder. */
  readonly root: string;
  /** The store, whose in-memory cache must drop removed manifests. */
  readonly store: { forgetManifest(repo: string, digest: Digest): void };
  /** Reads the digests that are never evicted: the content of packages. Called before each eviction. */
  readonly readKeep?: () => Promise<ReadonlySet<Digest>>;
  /** Reports whether a download of a blob is in progress. */
  readonly isBusy?: (digest: Digest) => boolean;
  /** Called with the bytes that were freed by an evicted image; without one, by content that no image needs. */
  readonly onEvict?: (image: EvictedImage | undefined, bytes: number) => void;
}

/** State that an `Evictor` shares with a `CacheLimit`. */
interface StoreState {
  readonly sizes: StoreSizes;
  readonly order: AccessOrder;
}

/** A request for space. */
export interface SpaceRequest {
  readonly bytes: number;
  /** Digest of the blob that needs the space, if it is known. */
  readonly digest: Digest | undefined;
}

/** How room is made. */
interface RoomOptions {
  /** Largest total size of all blobs, in bytes. */
  readonly capacity: number;
  /** Whether others wait for the end of the eviction. */
  readonly isAwaited: () => boolean;
}

/** The content of the store at the start of an eviction. */
interface StoreSnapshot {
  /** The images that are not evicted yet. */
  readonly images: Set<EvictableImage>;
  /** The content of packages. */
  readonly kept: ReadonlySet<Digest>;
}

const ATTEMPTS = 3;
/** So many images, or blobs of none, are removed before an eviction makes way for those that wait for it. */
const REMOVED_BEFORE_PAUSE = 8;

/** Evicts the least recently used images of a store. No manifest and no tag may be stored meanwhile. */
export class Evictor {
  readonly #options: EvictorOptions;
  readonly #root: string;
  readonly #sizes: StoreSizes;
  readonly #order: AccessOrder;
  readonly #reader: ManifestReader;

  constructor(options: EvictorOptions, { sizes, order }: StoreState) {
    this.#options = options;
    this.#root = options.root;
    this.#sizes = sizes;
    this.#order = order;
    this.#reader = new ManifestReader(options.root);
  }

  /**
   * Evicts images until the store with the requested space fits.
   *
   * @returns `false` when that is not possible; `undefined` when it has to be called again, because others wait
   */
  async makeRoom(request: SpaceRequest, { capacity, isAwaited }: RoomOptions): Promise<boolean | undefined> {
    const shortage = () => this.#sizes.total + request.bytes - capacity;
    let removed = 0;
    const pauses = () => ++removed >= REMOVED_BEFORE_PAUSE && shortage() > 0 && isAwaited();
    using exclusion = await tryExcludeWriters(this.#root);
    if (exclusion === undefined) return false;
    await this.#sizes.refresh();
    // Retried, because an image may be requested just before its eviction, and is then kept.
    for (let attempt = 0; attempt < ATTEMPTS && shortage() > 0; attempt++) {
      const isDone = await this.#evictOnce(request, { shortage, pauses });
      if (isDone !== true) return isDone;
    }
    return shortage() <= 0;
  }

  /**
   * Evicts images that stay incomplete because there was not enough space for one of their blobs. They cannot be
   * pulled.
   *
   * @param refused digests of blobs for which there was not enough space; handled ones are removed from the set
   */
  async evictIncomplete(refused: Set<Digest>): Promise<void> {
    using exclusion = await tryExcludeWriters(this.#root);
    if (exclusion === undefined) return;
    const snapshot = await this.#takeSnapshot();
    for (const digest of [...refused]) {
      const users = [...snapshot.images].filter((image) => image.digests.has(digest) && !image.isComplete);
      const idle = users.filter((image) => !this.#isInUse(image));
      for (const image of idle) if (!snapshot.kept.has(image.root)) await this.#evict(image, snapshot);
      if (idle.length === users.length) refused.delete(digest);
    }
  }

  // As `makeRoom`, except that more may be needed when it returns `true`.
  async #evictOnce(
    request: SpaceRequest,
    { shortage, pauses }: { readonly shortage: () => number; readonly pauses: () => boolean },
  ): Promise<boolean | undefined> {
    const snapshot = await this.#takeSnapshot();
    const ranks = new Map([...snapshot.images].map((image) => [image, this.#rankOf(image)]));
    // Evicts nothing for a blob that no stored image references, since a blob alone cannot be pulled.
    const isOfImage = request.digest === undefined ||
      [...snapshot.images].some(({ digests }) => digests.has(request.digest!));
    const evictable = [...ranks].map(([image, rank]) => ({
      image,
      digests: image.digests,
      rank,
      isEvictable: isOfImage && !snapshot.kept.has(image.root) && !this.#isInUse(image) &&
        !isRequested(image, request, ranks),
    }));
    const plan = (bytes: number) =>
      planEviction(evictable, { bytes, sizes: this.#sizes.blobs, isKept: (digest) => this.#isKept(digest, snapshot) });
    const unreferenced = this.#listUnreferenced(snapshot, request);
    const unreferencedBytes = unreferenced.reduce((sum, { bytes }) => sum + bytes, 0);
    const rest = Math.max(0, await this.#countMissing(request.digest, snapshot) - request.bytes);
    // Evicts nothing unless the whole image fits, including the blobs that are requested later.
    if (plan(shortage() + rest - unreferencedBytes) === undefined) return false;
    for (const { digest, remove } of unreferenced) {
      if (shortage() <= 0) break;
      await remove();
      // A partial file that another writer has locked stays.
      const freed = this.#sizes.measure(digest);
      if (freed > 0) this.#options.onEvict?.(undefined, freed);
      if (pauses()) return undefined;
    }
    for (const { image, rank } of plan(shortage()) ?? []) {
      if (this.#rankOf(image) !== rank || this.#isInUse(image)) continue;
      await this.#evict(image, snapshot);
      if (pauses()) return undefined;
    }
    return true;
  }

  async #evict(image: EvictableImage, snapshot: StoreSnapshot): Promise<void> {
    let freed = 0;
    snapshot.images.delete(image);
    const others = [...snapshot.images];
    await removeImage(this.#root, image, {
      isNeeded: (digest) => this.#isKept(digest, snapshot) || others.some(({ digests }) => digests.has(digest)),
      onManifest: (repo, digest) => {
        this.#options.store.forgetManifest(repo, digest);
        this.#reader.forget(digest);
      },
      onBlob: (digest) => freed += this.#sizes.measure(digest),
    });
    const references = image.tags.map(({ repo, tag }) => `${repo}:${tag}`).sort();
    this.#options.onEvict?.({ digest: image.root, references }, freed);
  }

  async #takeSnapshot(): Promise<StoreSnapshot> {
    const read = (digest: Digest) => this.#reader.read(digest);
    const kept = await markReachable({ roots: await this.#options.readKeep?.() ?? [], read });
    return { images: new Set(await listEvictableImages(this.#root, read, this.#sizes.blobs)), kept };
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

  /** Returns the size of the missing blobs of the most recently requested manifest that contains a blob, in bytes. */
  async #countMissing(requested: Digest | undefined, { images }: StoreSnapshot): Promise<number> {
    if (requested === undefined) return 0;
    let latest = -1;
    let missing = 0;
    const users = [...images].filter(({ digests }) => digests.has(requested));
    for (const manifest of new Set(users.flatMap(({ digests }) => [...digests]))) {
      const rank = this.#order.rankOf(manifest);
      const links = rank > latest && this.#sizes.blobs.has(manifest) ? await this.#reader.read(manifest) : undefined;
      if (links === undefined || !links.blobs.some(({ digest }) => digest === requested)) continue;
      latest = rank;
      const absent = links.blobs.filter(({ digest }) =>
        !this.#sizes.blobs.has(digest) && !this.#sizes.isBooked(digest)
      );
      missing = [...new Map(absent.map(({ digest, size }) => [digest, size])).values()]
        .reduce((sum, size) => sum + size, 0);
    }
    return missing;
  }

  /** Lists content that no image needs: blobs, then partial files. */
  #listUnreferenced(snapshot: StoreSnapshot, { digest: requested }: SpaceRequest) {
    const needed = new Set([...snapshot.images].flatMap(({ digests }) => [...digests]));
    const isRemovable = (digest: Digest) => digest !== requested && !this.#isKept(digest, snapshot);
    const blobs = [...this.#sizes.blobs].filter(([digest]) => !needed.has(digest) && isRemovable(digest));
    const partials = [...this.#sizes.partials].filter(([digest]) => isRemovable(digest));
    return [
      ...blobs.map(([digest, bytes]) => ({ digest, bytes, remove: () => removeFile(this.#root, blobPath(digest)) })),
      ...partials.map(([digest, bytes]) => ({ digest, bytes, remove: () => removePartialsOf(this.#root, digest) })),
    ];
  }
}

// Reports whether space is requested for an image. If the digest is not known, the most recently used image counts.
function isRequested(
  image: EvictableImage,
  { digest }: SpaceRequest,
  ranks: ReadonlyMap<EvictableImage, number>,
): boolean {
  if (digest !== undefined) return image.digests.has(digest);
  const rank = ranks.get(image)!;
  return rank > 0 && [...ranks.values()].every((other) => other <= rank);
}
