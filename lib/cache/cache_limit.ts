import type { Digest } from "../oci/digest.ts";
import { StoreSizes } from "../store/store_sizes.ts";
import { AccessOrder } from "./access_order.ts";
import type { RoomKeeper } from "./blob_cache.ts";
import { Evictor, type EvictorOptions, type SpaceRequest } from "./evictor.ts";

/** What a `CacheLimit` is made of. */
export interface CacheLimitOptions extends EvictorOptions {
  /** How large all blobs may be together, in bytes. */
  readonly limit: number;
  /** Told of what went wrong; then content is passed through without being kept. */
  readonly warn?: (message: string) => void;
  /** Monotonic clock, in milliseconds; it only says when to write the order of use down. */
  readonly now?: () => number;
  readonly randomName?: () => string;
}

const SAVE_MILLISECONDS = 60_000;
const MAX_REFUSED = 1000;
// Manifests are filed without asking for room. They are small, and this part of the limit is theirs.
const HEADROOM_PARTS = 32;
const MAX_HEADROOM_BYTES = 8 * 1024 * 1024;

/**
 * Keeps the blobs of a store within a size: what was not used for longest goes, image by image, so that one is either
 * whole or gone. What a package needs stays, and so does an image of which something is being downloaded. While an import,
 * a pull or a pack is at work nothing goes, since it may count on anything that is there.
 */
export class CacheLimit implements RoomKeeper {
  readonly #options: CacheLimitOptions;
  readonly #room: number;
  readonly #order: AccessOrder;
  readonly #sizes: StoreSizes;
  readonly #evictor: Evictor;
  readonly #fresh = new Set<Digest>();
  readonly #refused = new Set<Digest>();
  #work: Promise<unknown> = Promise.resolve();
  #willTidy = false;
  #savedAt: number;

  private constructor(options: CacheLimitOptions, order: AccessOrder) {
    this.#options = options;
    this.#room = options.limit - Math.min(Math.floor(options.limit / HEADROOM_PARTS), MAX_HEADROOM_BYTES);
    this.#order = order;
    this.#sizes = new StoreSizes(options.root);
    this.#evictor = new Evictor(options, { sizes: this.#sizes, order, fresh: this.#fresh });
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

  /** A manifest was asked for: its image, and all that it belongs to, is the last to go from now on. */
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
   * @param digest what it is; then its image stays, and is given up where there is no room for all of it
   * @returns `undefined`: there is none to be had
   */
  async reserve(bytes: number, digest?: Digest): Promise<Disposable | undefined> {
    const booking = await this.#run(async () => {
      await this.#sizes.refresh();
      this.#countFresh();
      if (await this.#makeRoom({ bytes, digest })) return this.#sizes.book({ bytes, digest });
      if (digest !== undefined && this.#refused.size < MAX_REFUSED) this.#refused.add(digest);
      await this.#dropUnfinished();
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
      this.#options.warn?.(`Cannot keep ${this.#options.root} within its limit: ${(error as Error).message}`);
      return undefined;
    });
    this.#work = done;
    return done;
  }

  #tidySoon(): void {
    if (this.#willTidy) return;
    this.#willTidy = true;
    this.#run(async () => {
      this.#willTidy = false;
      this.#countFresh();
      await this.#makeRoom({ bytes: 0, digest: undefined });
      await this.#dropUnfinished();
    });
  }

  async #makeRoom(wanted: SpaceRequest): Promise<boolean> {
    if (wanted.bytes > this.#room) return false;
    if (this.#sizes.total + wanted.bytes > this.#room && this.#sizes.hasUnaccountedBytes) await this.#sizes.scan();
    return this.#sizes.total + wanted.bytes <= this.#room || await this.#evictor.makeRoom(wanted, this.#room);
  }

  async #dropUnfinished(): Promise<void> {
    if (this.#refused.size > 0) await this.#evictor.dropUnfinished(this.#refused);
  }

  #countFresh(): void {
    for (const digest of this.#fresh) this.#sizes.measure(digest);
    this.#fresh.clear();
  }

  async #save(): Promise<void> {
    await this.#order.save(this.#options.root, this.#options.randomName ?? (() => crypto.randomUUID()));
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }
}
