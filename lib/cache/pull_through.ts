import type { ByteRange } from "../bytes/byte_range.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type {
  ContentCatalog,
  ListOptions,
  MissingReason,
  OpenedBlob,
  ReferrerList,
  RepositoryPage,
  ResolvedManifest,
  TagPage,
} from "../content/source.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { BlobCache, type BypassReason, bypassReasonOf, type CacheEvent, type SpaceManager } from "./blob_cache.ts";
import { CatalogLists } from "./catalog_lists.ts";
import { isComplete } from "./completeness.ts";
import { MissingContent } from "./missing_content.ts";
import type { AskOptions, Upstream } from "./upstream.ts";

/** Options of a `PullThrough`. */
export interface PullThroughOptions {
  readonly store: IngestStore;
  /** If absent, only the content of the store is served. */
  readonly upstream?: Upstream | undefined;
  /** If absent, the size of the store is not limited. */
  readonly space?: SpaceManager | undefined;
  /** Time for which a tag is fresh before it is revalidated at the upstream, in milliseconds. Default: 0. */
  readonly tagTtl?: number;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Called with a message when an error is hidden from the client by serving from the store, or uncached. */
  readonly warn?: (message: string) => void;
  readonly onEvent?: (event: CacheEvent) => void;
}

// Longest time for which a stale tag is served before its upstream is tried again, in milliseconds.
const STALE_MILLISECONDS = 30_000;
const MAX_TAGS = 50_000;
const MAX_PENDING_TAGS = 1000;

/** The state of a tag since it was last looked up at the upstream. */
interface TagFreshness {
  /** Time of the next lookup, by the monotonic clock, in milliseconds. */
  readonly until: number;
  readonly isStale: boolean;
}

/** A tag that the upstream has moved to an image which is not complete in the store yet. */
interface PendingTag {
  readonly repo: string;
  readonly tag: string;
  readonly manifest: Descriptor;
}

/**
 * A pull-through cache: a store with an upstream behind it. Missing content is requested from the upstream, once for
 * all concurrent clients, and cached in the store.
 */
export class PullThrough implements ContentCatalog {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #space: SpaceManager | undefined;
  readonly #tagTtl: number;
  readonly #now: () => number;
  readonly #warn: (message: string) => void;
  readonly #onEvent: (event: CacheEvent) => void;
  readonly #freshness = new Map<string, TagFreshness>();
  readonly #pendingTags = new Map<string, PendingTag>();
  readonly #manifests = new SingleFlight<ResolvedManifest | undefined>();
  readonly #reads = new SingleFlight<Uint8Array | undefined>();
  readonly #blobs: BlobCache;
  readonly #lists: CatalogLists;
  readonly #missing: MissingContent;
  // Reasons that were reported already.
  readonly #reported = new Set<BypassReason>();

  constructor(options: PullThroughOptions) {
    this.#store = options.store;
    this.#upstream = options.upstream;
    this.#space = options.space;
    this.#tagTtl = options.tagTtl ?? 0;
    this.#now = options.now ?? (() => performance.now());
    this.#warn = options.warn ?? (() => {});
    this.#onEvent = options.onEvent ?? (() => {});
    this.#lists = new CatalogLists({ store: options.store, upstream: options.upstream, warn: this.#warn });
    this.#missing = new MissingContent({ store: options.store, upstream: options.upstream, now: this.#now });
    this.#blobs = new BlobCache({
      ...options,
      onDownloadEnd: () => this.#moveCompleteTags(),
      onEvent: (event) => {
        if (event.type === "bypass" && event.why === "read-only") this.#reportBypass(event.why);
        this.#onEvent(event);
      },
    });
  }

  /** Reports whether a download of a blob is in progress. */
  isDownloading(digest: Digest): boolean {
    return this.#blobs.isDownloading(digest);
  }

  async resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined> {
    const found = await this.#resolve(repo, tagOrDigest);
    if (found !== undefined) this.#space?.touch(repo, found.digest);
    return found;
  }

  async readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    const held = await this.#store.readManifest(repo, digest);
    if (held !== undefined || this.#upstream === undefined) return held;
    return await this.#reads.run(`${repo}@${digest}`, async () => {
      const bytes = await this.#upstream!.readManifest(repo, digest);
      if (bytes !== undefined) await this.#keepManifest(repo, digest, bytes);
      return bytes;
    });
  }

  statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return this.#blobs.stat(repo, digest);
  }

  openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    return this.#blobs.open(repo, digest, range);
  }

  /** Downloads a blob to the store; see `BlobCache.fetch`. */
  fetchBlob(
    repo: string,
    blob: { digest: Digest; size: number },
    onProgress?: (bytes: number) => void,
  ): Promise<void> {
    return this.#blobs.fetch(repo, blob, onProgress);
  }

  typeOfManifest(repo: string, digest: Digest): Promise<string | undefined> {
    return this.#store.typeOfManifest(repo, digest);
  }

  listTags(repo: string, options?: ListOptions): Promise<TagPage | undefined> {
    return this.#lists.listTags(repo, options);
  }

  listRepositories(options?: ListOptions): Promise<RepositoryPage> {
    return this.#store.listRepositories(options);
  }

  listReferrers(repo: string, digest: Digest): Promise<ReferrerList> {
    return this.#lists.listReferrers(repo, digest);
  }

  explainMissing(repo: string, tagOrDigest: string): Promise<MissingReason> {
    return this.#missing.explain(repo, tagOrDigest);
  }

  async #resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined> {
    const key = `${repo}@${tagOrDigest}`;
    const held = await this.#store.resolve(repo, tagOrDigest);
    // Without an upstream for the repository the tag cannot be stale.
    if (this.#upstream === undefined || this.#upstream.allows?.(repo) === false) {
      return await this.#ifComplete(repo, held);
    }
    if (held !== undefined && isDigest(tagOrDigest)) return held;
    const cached = this.#pendingTags.get(key)?.manifest ?? held;
    const freshness = this.#freshness.get(key);
    if (cached !== undefined && freshness !== undefined && this.#now() < freshness.until) {
      return freshness.isStale ? { ...cached, isStale: true } : cached;
    }
    return await this.#manifests.run(key, () => this.#resolveUpstream(repo, tagOrDigest, { cached, held }));
  }

  async #resolveUpstream(
    repo: string,
    tagOrDigest: string,
    { cached, held }: { cached: Descriptor | undefined; held: Descriptor | undefined },
  ): Promise<ResolvedManifest | undefined> {
    const usable = await this.#ifComplete(repo, cached) ?? await this.#ifComplete(repo, held);
    let fresh: Descriptor | undefined;
    try {
      fresh = await this.#askUpstream(repo, tagOrDigest, { cached, isUrgent: usable !== undefined });
    } catch (error) {
      if (usable === undefined) throw error;
      this.#warn(`${repo}:${tagOrDigest} is served from the store: ${(error as Error).message}`);
      return this.#remember(repo, tagOrDigest, { ...usable, isStale: true });
    }
    if (fresh !== undefined) return this.#remember(repo, tagOrDigest, fresh);
    if (usable === undefined) return undefined;
    this.#warn(`${repo}:${tagOrDigest} is served from the store: the upstream no longer has it`);
    return this.#remember(repo, tagOrDigest, { ...usable, isStale: true });
  }

  #remember(repo: string, tagOrDigest: string, manifest: ResolvedManifest): ResolvedManifest {
    const isStale = manifest.isStale === true;
    const ttl = isStale ? Math.min(this.#tagTtl, STALE_MILLISECONDS) : this.#tagTtl;
    if (this.#freshness.size >= MAX_TAGS) this.#freshness.clear();
    this.#freshness.set(`${repo}@${tagOrDigest}`, { until: this.#now() + ttl, isStale });
    if (isStale) this.#onEvent({ type: "stale", repo });
    return manifest;
  }

  async #askUpstream(
    repo: string,
    tagOrDigest: string,
    { cached, ...options }: AskOptions & { cached: Descriptor | undefined },
  ): Promise<Descriptor | undefined> {
    const upstream = this.#upstream!;
    const fresh = cached === undefined
      ? await upstream.resolve(repo, tagOrDigest)
      : await upstream.headManifest(repo, tagOrDigest, options);
    // The stored manifest keeps the media type that was stated first.
    if (fresh === undefined || fresh.digest === cached?.digest) return fresh && cached;
    const held = await this.#store.resolve(repo, fresh.digest);
    const bytes = held === undefined ? await upstream.readManifest(repo, fresh.digest, options) : undefined;
    if (held === undefined && bytes === undefined) return undefined;
    const descriptor = held ?? { mediaType: fresh.mediaType, digest: fresh.digest, size: bytes!.length };
    if (bytes !== undefined && !await this.#keepManifest(repo, fresh.digest, bytes)) return descriptor;
    if (!isDigest(tagOrDigest)) await this.#moveTag({ repo, tag: tagOrDigest, manifest: descriptor });
    return descriptor;
  }

  /**
   * Moves a tag in the store. If it refers to a complete image, it is moved only once the next image is complete too.
   */
  async #moveTag(pending: PendingTag): Promise<void> {
    const { repo, tag, manifest } = pending;
    const key = `${repo}@${tag}`;
    const before = await this.#ifComplete(repo, await this.#store.resolve(repo, tag));
    if (before === undefined || await this.#ifComplete(repo, manifest) !== undefined) {
      this.#pendingTags.delete(key);
      await this.#keep(() => this.#store.tag(repo, tag, manifest.digest));
      return;
    }
    if (this.#pendingTags.size >= MAX_PENDING_TAGS) this.#pendingTags.clear();
    this.#pendingTags.set(key, pending);
  }

  async #moveCompleteTags(): Promise<void> {
    for (const pending of [...this.#pendingTags.values()]) await this.#moveTag(pending);
  }

  async #keepManifest(repo: string, digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const { mediaType } = parseManifest(bytes);
    const manifest = { mediaType, digest, size: bytes.length };
    const isKept = await this.#keep(() => this.#store.writeManifest(repo, manifest, bytes));
    // The manifest may have completed an image whose blobs the store already had.
    await this.#moveCompleteTags();
    return isKept;
  }

  /**
   * Writes to the store. Returns `false`, with a warning, if the store cannot accept content; it is then served
   * uncached.
   */
  async #keep(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      this.#reported.clear();
      return true;
    } catch (error) {
      const why = bypassReasonOf(error);
      if (why === undefined) throw error;
      this.#reportBypass(why);
      return false;
    }
  }

  // Warns once per reason, until a write succeeds again: the reason is the same for all content.
  #reportBypass(why: BypassReason): void {
    if (this.#reported.has(why)) return;
    this.#reported.add(why);
    const reason = why === "read-only" ? "the data folder is not writable" : "there is no space left on the device";
    this.#warn(`Content from upstreams is served, but not cached: ${reason}`);
  }

  async #ifComplete(repo: string, cached: Descriptor | undefined): Promise<Descriptor | undefined> {
    // A manifest without its blobs would keep the client from trying another mirror that has them.
    return cached !== undefined && await isComplete(this.#store, repo, cached) ? cached : undefined;
  }
}
