import type { Digest } from "../oci/digest.ts";
import { AccessOrder } from "./access_order.ts";
import type { RoomKeeper } from "./blob_cache.ts";
import { type CacheImage, listCacheImages, removeImage } from "./cache_images.ts";
import { removeIfUnused } from "./data_folder.ts";
import { planEviction } from "./eviction_plan.ts";
import { blobPath, partialPath } from "./layout.ts";
import { markReachable } from "./reachable.ts";
import { ManifestReader } from "./store_contents.ts";
import { StoreSizes } from "./store_sizes.ts";
import { removeFile } from "./trash.ts";
import { tryKeepWritersOut } from "./write_lease.ts";

/** An image that had to go. */
export interface EvictedImage {
  readonly digest: Digest;
  /** What it was known as: `docker.io/library/nginx:1.27`; none where it had no tag. */
  readonly references: readonly string[];
}

/** What a `CacheLimit` is made of. */
export interface CacheLimitOptions {
  /** The data folder. */
  readonly root: string;
  /** How large all blobs may be together, in bytes. */
  readonly limit: number;
  /** What holds manifests in memory, and has to forget those that are gone. */
  readonly store: { forgetManifest(repo: string, digest: Digest): void };
  /** What stays whatever happens: the content of packages. Asked before anything is evicted. */
  readonly readKeep?: () => Promise<ReadonlySet<Digest>>;
  /** Whether a blob is being downloaded. */
  readonly isBusy?: (digest: Digest) => boolean;
  /** Told of each image that was evicted, and how many bytes it gave. */
  readonly onEvict?: (image: EvictedImage, bytes: number) => void;
  /** Told of what went wrong; then content is passed through without being kept. */
  readonly warn?: (message: string) => void;
  /** Monotonic clock, in milliseconds; it only says when to write the order of use down. */
  readonly now?: () => number;
  readonly randomName?: () => string;
}

const SAVE_MILLISECONDS = 60_000;
// Manifests are filed without asking for room; they are small, and this is theirs.
const HEADROOM_PARTS = 32;
const MAX_HEADROOM_BYTES = 8 * 1024 * 1024;

/** The store as an eviction finds it. */
interface Scene {
  readonly images: readonly CacheImage[];
  /** What packages need. */
  readonly kept: ReadonlySet<Digest>;
}

/**
 * Keeps the blobs of a store within a size: what was not used for longest goes, image by image, so that one is either
 * whole or gone. What a package needs stays, and so does an image of which something is being downloaded. While an import,
 * a pull or a pack is at work nothing goes, since it may count on anything that is there.
 */
export class CacheLimit implements RoomKeeper {
  readonly #root: string;
  readonly #room: number;
  readonly #options: CacheLimitOptions;
  readonly #order: AccessOrder;
  readonly #sizes: StoreSizes;
  readonly #reader: ManifestReader;
  // Blobs that found no room: their images will not be whole.
  readonly #refused = new Set<Digest>();
  readonly #fresh = new Set<Digest>();
  #work: Promise<unknown> = Promise.resolve();
  #isTidying = false;
  #savedAt: number;

  private constructor(options: CacheLimitOptions, order: AccessOrder) {
    this.#options = options;
    this.#root = options.root;
    this.#room = options.limit - Math.min(Math.floor(options.limit / HEADROOM_PARTS), MAX_HEADROOM_BYTES);
    this.#order = order;
    this.#sizes = new StoreSizes(options.root);
    this.#reader = new ManifestReader(options.root);
    this.#savedAt = this.#now();
  }

  /** Measures a store, and evicts what is too much already. */
  static async open(options: CacheLimitOptions): Promise<CacheLimit> {
    const limit = new CacheLimit(options, await AccessOrder.read(options.root));
    await limit.#sizes.scan();
    await limit.#run(() => limit.#makeRoom({ bytes: 0, digest: undefined }));
    return limit;
  }

  /** Bytes that are in use, or booked. */
  get bytes(): number {
    return this.#sizes.total;
  }

  touch(_repo: string, digest: Digest): void {
    this.#order.touch(digest);
    if (!this.#sizes.blobs.has(digest)) {
      this.#fresh.add(digest);
      this.#tidySoon();
    }
    if (this.#now() - this.#savedAt < SAVE_MILLISECONDS) return;
    this.#savedAt = this.#now();
    this.#run(() => this.#save());
  }

  /**
   * Makes room for a blob.
   *
   * @param bytes its size
   * @param digest what it is: its image stays then, and is given up where it finds no room as a whole
   * @returns `undefined`: there is none to be had
   */
  async reserve(bytes: number, digest?: Digest): Promise<Disposable | undefined> {
    const booking = await this.#run(async () => {
      await this.#sizes.refresh();
      this.#measureFresh();
      if (await this.#makeRoom({ bytes, digest })) return this.#sizes.book({ bytes, digest });
      if (digest !== undefined) this.#refused.add(digest);
      await this.#dropRefused();
      return undefined;
    });
    return booking && {
      [Symbol.dispose]: () => {
        booking[Symbol.dispose]();
        if (this.#refused.size > 0) this.#tidySoon();
      },
    };
  }

  /** Waits for what is under way, and writes the order of use down. */
  async close(): Promise<void> {
    await this.#run(() => this.#save());
  }

  // One after the other: each finds what the one before has left. What fails makes no room.
  #run<T>(work: () => Promise<T>): Promise<T | undefined> {
    const done = this.#work.then(work).catch((error) => {
      this.#options.warn?.(`Cannot keep ${this.#root} within its limit: ${(error as Error).message}`);
      return undefined;
    });
    this.#work = done;
    return done;
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }

  async #save(): Promise<void> {
    await this.#order.save(this.#root, this.#options.randomName ?? (() => crypto.randomUUID()));
  }

  #tidySoon(): void {
    if (this.#isTidying) return;
    this.#isTidying = true;
    this.#run(async () => {
      this.#isTidying = false;
      this.#measureFresh();
      await this.#makeRoom({ bytes: 0, digest: undefined });
      await this.#dropRefused();
    });
  }

  #measureFresh(): void {
    for (const digest of this.#fresh) this.#sizes.measure(digest);
    this.#fresh.clear();
  }

  async #makeRoom(wanted: { bytes: number; digest: Digest | undefined }): Promise<boolean> {
    const { bytes, digest } = wanted;
    if (bytes > this.#room) return false;
    const shortage = () => this.#sizes.total + bytes - this.#room;
    if (shortage() <= 0) return true;
    if (this.#sizes.isUnsure) await this.#sizes.scan();
    if (shortage() <= 0) return true;
    using alone = await tryKeepWritersOut(this.#root);
    if (alone === undefined) return false;
    await this.#sizes.refresh();
    const scene = await this.#look();
    const whole = digest === undefined ? bytes : Math.max(bytes, await this.#missingWith(digest, scene));
    const loose = this.#findLoose(scene, digest);
    const looseBytes = [...loose.values()].reduce((sum, bytes) => sum + bytes, 0);
    const evictable = scene.images.map((image) => this.#toEvictable(image, scene, digest));
    const plan = (bytes: number) =>
      planEviction(evictable, {
        bytes,
        sizes: this.#sizes.blobs,
        isKept: (digest) => scene.kept.has(digest) || this.#isActive(digest),
      });
    // Either there is room for all of the image, or nothing has to go for a part of it.
    if (plan(shortage() - bytes + whole - looseBytes) === undefined) return false;
    for (const path of loose.keys()) {
      if (shortage() <= 0) break;
      await this.#removeLoose(path);
    }
    const chosen = new Set((plan(shortage()) ?? []).map(({ image }) => image));
    for (const image of chosen) await this.#evict(image, scene, chosen);
    return shortage() <= 0;
  }

  async #look(): Promise<Scene> {
    const read = (digest: Digest) => this.#reader.read(digest);
    const images = await listCacheImages(this.#root, read, this.#sizes.blobs);
    return { images, kept: await markReachable({ roots: await this.#options.readKeep?.() ?? [], read }) };
  }

  #isActive(digest: Digest): boolean {
    return this.#sizes.isBooked(digest) || (this.#options.isBusy?.(digest) ?? false);
  }

  #rankOf({ digests }: CacheImage): number {
    let rank = 0;
    for (const digest of digests) rank = Math.max(rank, this.#order.rankOf(digest));
    return rank;
  }

  #toEvictable(image: CacheImage, { images, kept }: Scene, wanted: Digest | undefined) {
    const { digests, root } = image;
    const rank = this.#rankOf(image);
    const isInUse = wanted === undefined
      ? rank > 0 && images.every((other) => this.#rankOf(other) <= rank)
      : digests.has(wanted);
    const mayGo = !kept.has(root) && !isInUse && ![...digests].some((digest) => this.#isActive(digest));
    return { image, digests, rank, mayGo };
  }

  /** Bytes of the image manifest that a blob belongs to which are neither here nor on their way. */
  async #missingWith(digest: Digest, { images }: Scene): Promise<number> {
    let [latest, missing] = [-1, 0];
    for (const manifest of new Set(images.filter(({ digests }) => digests.has(digest)).flatMap((it) => [...it.digests]))) {
      const { blobs = [] } = this.#sizes.blobs.has(manifest) ? await this.#reader.read(manifest) ?? {} : {};
      const rank = this.#order.rankOf(manifest);
      if (rank <= latest || !blobs.some((blob) => blob.digest === digest)) continue;
      latest = rank;
      const absent = new Map(
        blobs.filter((blob) => !this.#sizes.blobs.has(blob.digest) && !this.#sizes.isBooked(blob.digest))
          .map(({ digest, size }) => [digest, size]),
      );
      missing = [...absent.values()].reduce((sum, size) => sum + size, 0);
    }
    return missing;
  }

  /** Files that no image needs: blobs, then interrupted downloads. By path, in bytes. */
  #findLoose({ images, kept }: Scene, wanted: Digest | undefined): Map<string, number> {
    const needed = new Set(images.flatMap(({ digests }) => [...digests]));
    const isLoose = (digest: Digest) => !kept.has(digest) && digest !== wanted && !this.#isActive(digest);
    const found = new Map<string, number>();
    return found;
  }
}
