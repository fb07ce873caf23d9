import type { Digest } from "../oci/digest.ts";
import { StoreSizes } from "../store/store_sizes.ts";
import { AccessOrder } from "./access_order.ts";
import { Evictor, type EvictorOptions, type SpaceRequest } from "./evictor.ts";
import { StoreGate } from "./store_gate.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** Options of a `CacheLimit`. */
export interface CacheLimitOptions extends EvictorOptions {
  /** Largest total size of all blobs, in bytes. */
  readonly limit: number;
  /** Called with a message when space cannot be reserved because of an error. Content is then served uncached. */
  readonly warn?: (message: string) => void;
  /** Monotonic clock in milliseconds. It determines only when the access order is saved. */
  readonly now?: () => number;
}

/** Options of a reservation. */
interface ReserveOptions {
  /** Whether the image is of use without the blob, and is kept when there is not enough space for it. */
  readonly isOptional?: boolean;
}

const SAVE_MILLISECONDS = 60_000;
const MAX_REFUSED = 1000;
// Manifests are small, and stored without a reservation. This share of the limit is set aside for them.
const HEADROOM_PARTS = 32;
const MAX_HEADROOM_BYTES = 8 * 1024 * 1024;

/**
 * Keeps the blobs of a store within a size limit. Evicts the least recently used images, always whole images, so that
 * an image is either complete or absent. Does not evict the content of packages, or an image with a download in
 * progress. Evicts nothing while an import, a pull or a pack is in progress, because these rely on blobs that already
 * exist.
 */
export class CacheLimit {
  readonly #options: CacheLimitOptions;
  readonly #capacity: number;
  readonly #order: AccessOrder;
  readonly #sizes: StoreSizes;
  readonly #evictor: Evictor;
  readonly #gate = new StoreGate();
  readonly #unmeasured = new Set<Digest>();
  readonly #refused = new Set<Digest>();
  #work: Promise<unknown> = Promise.resolve();
  #isTidyScheduled = false;
  #savedAt: number;

  private constructor(options: CacheLimitOptions, order: AccessOrder) {
    this.#options = options;
    this.#capacity = options.limit - Math.min(Math.floor(options.limit / HEADROOM_PARTS), MAX_HEADROOM_BYTES);
    this.#order = order;
    this.#sizes = new StoreSizes(options.root);
    this.#evictor = new Evictor(options, { sizes: this.#sizes, order });
    this.#savedAt = this.#now();
  }

  /**
   * Starts to measure a store, and to evict images if it exceeds the limit. Reservations wait until that is done, so that
   * the start of a server does not depend on the size of its store.
   */
  static async start(options: CacheLimitOptions): Promise<CacheLimit> {
    const limit = new CacheLimit(options, await AccessOrder.read(options.root));
    limit.#run(async () => {
      await limit.#sizes.scan();
      await limit.#makeRoom({ bytes: 0, digest: undefined });
    });
    return limit;
  }

  /** Space in use or reserved, in bytes. */
  get bytes(): number {
    return this.#sizes.total;
  }

  /** Records that a manifest was requested: every image that contains it becomes the most recently used. */
  touch(digest: Digest): void {
    this.#order.touch(digest);
    if (!this.#sizes.blobs.has(digest)) {
      this.#unmeasured.add(digest);
      this.#scheduleTidy();
    }
    if (this.#now() - this.#savedAt < SAVE_MILLISECONDS) return;
    this.#savedAt = this.#now();
    this.#run(() => this.#save());
  }

  /**
   * Stores a manifest or its tag, and records that it was requested. Waits for an eviction in progress, which would
   * otherwise remove what `write` finds in the store.
   *
   * @param write must check for itself what the store has
   */
  store<T>(digest: Digest, write: () => Promise<T>): Promise<T> {
    return this.#gate.write(async () => {
      try {
        return await write();
      } finally {
        // Before an eviction can begin, which has to know what the manifest references.
        this.touch(digest);
      }
    });
  }

  /**
   * Reserves space for a blob, and evicts other images if necessary. The reservation must be disposed of when the blob is
   * committed, or its download has failed.
   *
   * @param bytes size of the blob
   * @param digest digest of the blob, if it is known; its image is evicted only if not all of it fits
   * @returns `undefined` when there is not enough space; an incomplete image of the blob is then evicted, unless the
   *   blob is optional
   */
  async reserve(
    bytes: number,
    digest?: Digest,
    { isOptional = false }: ReserveOptions = {},
  ): Promise<Disposable | undefined> {
    const booking = await this.#run(async () => {
      await this.#sizes.refresh();
      this.#measureNew();
      if (await this.#makeRoom({ bytes, digest })) return this.#sizes.book({ bytes, digest });
      if (isOptional) return undefined;
      if (digest !== undefined && this.#refused.size < MAX_REFUSED) this.#refused.add(digest);
      await this.#evictIncomplete();
      return undefined;
    });
    return booking && {
      [Symbol.dispose]: () => {
        booking[Symbol.dispose]();
        if (this.#refused.size > 0) this.#scheduleTidy();
      },
    };
  }

  /** Waits for pending work, and saves the access order. */
  async close(): Promise<void> {
    await this.#run(() => this.#save());
  }

  // Serializes all work, because each step depends on the state that the previous one left. A failed step frees no
  // space.
  #run<T>(work: () => Promise<T>): Promise<T | undefined> {
    const done = this.#work.then(work).catch((error) => {
      this.#options.warn?.(`Cannot keep ${this.#options.root} within its size limit: ${describeSystemError(error)}`);
      return undefined;
    });
    this.#work = done;
    return done;
  }

  #scheduleTidy(): void {
    if (this.#isTidyScheduled) return;
    this.#isTidyScheduled = true;
    this.#run(async () => {
      this.#isTidyScheduled = false;
      this.#measureNew();
      await this.#makeRoom({ bytes: 0, digest: undefined });
      await this.#evictIncomplete();
    });
  }

  async #makeRoom(request: SpaceRequest): Promise<boolean> {
    if (request.bytes > this.#capacity) return false;
    const fits = () => this.#sizes.total + request.bytes <= this.#capacity;
    if (!fits() && this.#sizes.hasUnaccountedBytes) await this.#sizes.scan();
    if (fits()) return true;
    const options = { capacity: this.#capacity, isAwaited: () => this.#gate.isAwaited };
    for (;;) {
      const hasRoom = await this.#evict(() => this.#evictor.makeRoom(request, options));
      if (hasRoom !== undefined) return hasRoom;
    }
  }

  async #evictIncomplete(): Promise<void> {
    if (this.#refused.size > 0) await this.#evict(() => this.#evictor.evictIncomplete(this.#refused));
  }

  #evict<T>(evict: () => Promise<T>): Promise<T> {
    return this.#gate.evict(() => {
      this.#measureNew();
      return evict();
    });
  }

  #measureNew(): void {
    for (const digest of this.#unmeasured) this.#sizes.measure(digest);
    this.#unmeasured.clear();
  }

  async #save(): Promise<void> {
    await this.#order.save(this.#options.root);
  }

  #now(): number {
    return (this.#options.now ?? (() => performance.now()))();
  }
}
