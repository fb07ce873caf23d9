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
import type { Digest } from "../oci/digest.ts";
import { parseManifest } from "../oci/manifest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { BlobCache } from "./blob_cache.ts";
import type { CacheEvent } from "./cache_event.ts";
import type { CacheLimit } from "./cache_limit.ts";
import { CatalogLists } from "./catalog_lists.ts";
import { ImageCompletion } from "./image_completion.ts";
import { MissingContent } from "./missing_content.ts";
import type { RunningDownload } from "./running_downloads.ts";
import { StoreWrites } from "./store_writes.ts";
import { TagResolver } from "./tag_resolver.ts";
import type { Upstream } from "./upstream.ts";

/** Options of a `PullThrough`. */
export interface PullThroughOptions {
  readonly store: IngestStore;
  /** If absent, only the content of the store is served. */
  readonly upstream?: Upstream | undefined;
  /** If absent, the size of the store is not limited. */
  readonly space?: Pick<CacheLimit, "reserve" | "store" | "touch"> | undefined;
  /** Time for which a tag is fresh before it is revalidated at the upstream, in milliseconds. Default: 0. */
  readonly tagTtl?: number;
  /**
   * Longest time for which a client waits for the revalidation of a tag in the store, in milliseconds. The tag is then
   * served as it is, and revalidated in the background. Default: no limit.
   */
  readonly revalidationWait?: number | undefined;
  /** Whether blobs that no client requests are downloaded in the background, so that every image is complete. */
  readonly isCompleting?: boolean;
  /** Why content is missing when there is no upstream. */
  readonly missingReason?: string;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Called with a message when an error is hidden from the client by serving from the store, or uncached. */
  readonly warn?: (message: string) => void;
  readonly onEvent?: (event: CacheEvent) => void;
}

/**
 * A pull-through cache: a store with an upstream behind it. Missing content is requested from the upstream, once for
 * all concurrent clients, and cached in the store.
 */
export class PullThrough implements ContentCatalog {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #space: PullThroughOptions["space"];
  readonly #reads = new SingleFlight<Uint8Array | undefined>();
  readonly #writes: StoreWrites;
  readonly #blobs: BlobCache;
  readonly #tags: TagResolver;
  readonly #lists: CatalogLists;
  readonly #missing: MissingContent;
  readonly #completion: ImageCompletion | undefined;

  constructor(options: PullThroughOptions) {
    const { store, upstream, space, tagTtl = 0, revalidationWait, isCompleting } = options;
    const { now = () => performance.now(), warn = () => {}, onEvent = () => {} } = options;
    this.#store = store;
    this.#upstream = upstream;
    this.#space = space;
    this.#writes = new StoreWrites(warn, space);
    this.#lists = new CatalogLists({ store, upstream, warn });
    this.#missing = new MissingContent({ store, upstream, now, reason: options.missingReason });
    this.#blobs = new BlobCache({
      ...options,
      onDownloadEnd: () => this.#tags.moveCompleteTags(),
      onEvent: (event) => {
        if (event.type === "bypass" && event.why === "read-only") this.#writes.report(event.why);
        onEvent(event);
      },
    });
    this.#tags = new TagResolver({
      ...{ store, upstream, tagTtl, revalidationWait, now, warn, onEvent },
      writes: this.#writes,
      keepManifest: (repo, digest, bytes) => this.#keepManifest(repo, digest, bytes),
    });
    if (isCompleting && upstream !== undefined) {
      this.#completion = new ImageCompletion({
        ...{ store, blobs: this.#blobs, now, onEvent },
        isClosed: async (repo) => await upstream.closedUntil?.(repo) !== undefined,
      });
    }
  }

  /** Ends the work in the background. Resolves when the blobs that clients have received are in the store. */
  async stop(): Promise<void> {
    this.#completion?.stop();
    await this.#blobs.stop();
  }

  /** Lists the downloads of blobs that are in progress. */
  listDownloads(): RunningDownload[] {
    return this.#blobs.listDownloads();
  }

  /** Reports whether a download of a blob is in progress. */
  isDownloading(digest: Digest): boolean {
    return this.#blobs.isDownloading(digest);
  }

  async resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined> {
    const found = await this.#tags.resolve(repo, tagOrDigest);
    if (found !== undefined) this.#space?.touch(found.digest);
    return found;
  }

  async readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    const held = await this.#store.readManifest(repo, digest);
    if (this.#upstream === undefined) return held;
    const bytes = held ?? await this.#reads.run(`${repo}@${digest}`, async () => {
      const bytes = await this.#upstream!.readManifest(repo, digest);
      if (bytes !== undefined) {
        await this.#keepManifest(repo, digest, bytes);
        // The manifest may have completed an image whose blobs the store already had.
        await this.#tags.moveCompleteTags();
      }
      return bytes;
    });
    if (bytes !== undefined && this.#upstream.allows?.(repo) !== false) this.#completion?.add(repo, digest);
    return bytes;
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

  explainMissing(repo: string, tagOrDigest?: string): Promise<MissingReason> {
    return this.#missing.explain(repo, tagOrDigest);
  }

  async #keepManifest(repo: string, digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const { mediaType } = parseManifest(bytes);
    const manifest = { mediaType, digest, size: bytes.length, isFetched: true } as const;
    await this.#blobs.learn(repo, bytes);
    return await this.#writes.attempt(digest, () => this.#store.writeManifest(repo, manifest, bytes));
  }
}
