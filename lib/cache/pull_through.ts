import type { ByteRange } from "../bytes/byte_range.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { ContentCatalog, OpenedBlob, ResolvedManifest } from "../content/source.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { BlobCache, type BypassReason, bypassReasonOf, type CacheEvent, type RoomKeeper } from "./blob_cache.ts";
import { isComplete } from "./completeness.ts";
import type { AskOptions, Upstream } from "./upstream.ts";

/** What a `PullThrough` is made of. */
export interface PullThroughOptions {
  readonly store: IngestStore;
  /** Absent: nothing is ever asked of anybody. */
  readonly upstream?: Upstream | undefined;
  /** Absent: the store may grow without limit. */
  readonly room?: RoomKeeper | undefined;
  /** How long a tag is believed before the upstream is asked again, in milliseconds. */
  readonly tagTtl?: number;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Told of what went wrong where the cache helped out. */
  readonly warn?: (message: string) => void;
  readonly onEvent?: (event: CacheEvent) => void;
}

// How long an upstream that could not be asked for a tag is left in peace, in milliseconds.
const STALE_MILLISECONDS = 30_000;
const MAX_BELIEFS = 50_000;
const MAX_ARRIVING = 1000;

/** What is believed of a tag, and until when. */
interface TagFreshness {
  readonly until: number;
  readonly isStale: boolean;
}

/** A tag that has moved to an image which is not here as a whole yet. */
interface ArrivingTag {
  readonly repo: string;
  readonly tag: string;
  readonly manifest: Descriptor;
}

/** A store that gets from an upstream what it lacks, once for all that ask, and keeps it. */
export class PullThrough implements ContentCatalog {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #room: RoomKeeper | undefined;
  readonly #tagTtl: number;
  readonly #now: () => number;
  readonly #warn: (message: string) => void;
  readonly #onEvent: (event: CacheEvent) => void;
  readonly #freshness = new Map<string, TagFreshness>();
  readonly #arriving = new Map<string, ArrivingTag>();
  readonly #manifests = new SingleFlight<ResolvedManifest | undefined>();
  readonly #reads = new SingleFlight<Uint8Array | undefined>();
  readonly #blobs: BlobCache;
  // What was told already of why nothing is kept.
  readonly #reported = new Set<BypassReason>();

  constructor(options: PullThroughOptions) {
    this.#store = options.store;
    this.#upstream = options.upstream;
    this.#room = options.room;
    this.#tagTtl = options.tagTtl ?? 0;
    this.#now = options.now ?? (() => performance.now());
    this.#warn = options.warn ?? (() => {});
    this.#onEvent = options.onEvent ?? (() => {});
    this.#blobs = new BlobCache({
      ...options,
      onKept: () => this.#tagArrived(),
      onEvent: (event) => {
        if (event.type === "bypass" && event.why === "read-only") this.#reportBypass(event.why);
        this.#onEvent(event);
      },
    });
  }

  /** Whether a blob is being downloaded. */
  isDownloading(digest: Digest): boolean {
    return this.#blobs.isDownloading(digest);
  }

  async resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined> {
    const found = await this.#resolve(repo, tagOrDigest);
    if (found !== undefined) this.#room?.touch(repo, found.digest);
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

  /** As `BlobCache.fetch`. */
  fetchBlob(
    repo: string,
    blob: { digest: Digest; size: number },
    onProgress?: (bytes: number) => void,
  ): Promise<void> {
    return this.#blobs.fetch(repo, blob, onProgress);
  }

  async listTags(repo: string): Promise<string[] | undefined> {
    return await this.#orHeld(repo, (upstream) => upstream.listTags(repo)) ?? await this.#store.listTags(repo);
  }

  listRepositories(): Promise<string[]> {
    return this.#store.listRepositories();
  }

  async listReferrers(repo: string, digest: Digest): Promise<Descriptor[]> {
    const found = new Map<Digest, Descriptor>();
    for (const referrer of await this.#store.listReferrers(repo, digest)) found.set(referrer.digest, referrer);
    for (const referrer of await this.#orHeld(repo, (upstream) => upstream.listReferrers(repo, digest)) ?? []) {
      found.set(referrer.digest, referrer);
    }
    return [...found.values()];
  }

  async #resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined> {
    const key = `${repo}@${tagOrDigest}`;
    const held = await this.#store.resolve(repo, tagOrDigest);
    // What nobody may be asked for is not stale.
    if (this.#upstream === undefined || this.#upstream.allows?.(repo) === false) {
      return await this.#ifComplete(repo, held);
    }
    if (held !== undefined && isDigest(tagOrDigest)) return held;
    const cached = this.#arriving.get(key)?.manifest ?? held;
    const belief = this.#freshness.get(key);
    if (cached !== undefined && belief !== undefined && this.#now() < belief.until) {
      return belief.isStale ? { ...cached, isStale: true } : cached;
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
      fresh = await this.#askUpstream(repo, tagOrDigest, cached, { isUrgent: usable !== undefined });
    } catch (error) {
      if (usable === undefined) throw error;
      this.#warn(`${repo}:${tagOrDigest} is served from the store: ${(error as Error).message}`);
      return this.#remember(repo, tagOrDigest, { ...usable, isStale: true });
    }
    if (fresh !== undefined) return this.#remember(repo, tagOrDigest, fresh);
    if (usable === undefined) return undefined;
    this.#warn(`${repo}:${tagOrDigest} is served from the store: the upstream does not have it any more`);
    return this.#remember(repo, tagOrDigest, { ...usable, isStale: true });
  }

  #remember(repo: string, tagOrDigest: string, manifest: ResolvedManifest): ResolvedManifest {
    const isStale = manifest.isStale === true;
    const ttl = isStale ? Math.min(this.#tagTtl, STALE_MILLISECONDS) : this.#tagTtl;
    if (this.#freshness.size >= MAX_BELIEFS) this.#freshness.clear();
    this.#freshness.set(`${repo}@${tagOrDigest}`, { until: this.#now() + ttl, isStale });
    if (isStale) this.#onEvent({ type: "stale", repo });
    return manifest;
  }

  async #askUpstream(
    repo: string,
    tagOrDigest: string,
    cached: Descriptor | undefined,
    options: AskOptions,
  ): Promise<Descriptor | undefined> {
    const upstream = this.#upstream!;
    const fresh = cached === undefined
      ? await upstream.resolve(repo, tagOrDigest)
      : await upstream.headManifest(repo, tagOrDigest, options);
    if (fresh === undefined || fresh.digest === cached?.digest) return fresh;
    const held = await this.#store.resolve(repo, fresh.digest);
    const bytes = held === undefined ? await upstream.readManifest(repo, fresh.digest, options) : undefined;
    if (held === undefined && bytes === undefined) return undefined;
    const descriptor = held ?? { mediaType: fresh.mediaType, digest: fresh.digest, size: bytes!.length };
    if (bytes !== undefined && !await this.#keepManifest(repo, fresh.digest, bytes)) return descriptor;
    if (!isDigest(tagOrDigest)) await this.#moveTag({ repo, tag: tagOrDigest, manifest: descriptor });
    return descriptor;
  }

  /** Tags last: a tag stays on the whole image that it stands for until the next one is here as a whole too. */
  async #moveTag(arriving: ArrivingTag): Promise<void> {
    const { repo, tag, manifest } = arriving;
    const key = `${repo}@${tag}`;
    const before = await this.#ifComplete(repo, await this.#store.resolve(repo, tag));
    if (before === undefined || await this.#ifComplete(repo, manifest) !== undefined) {
      this.#arriving.delete(key);
      await this.#keep(() => this.#store.tag(repo, tag, manifest.digest));
      return;
    }
    if (this.#arriving.size >= MAX_ARRIVING) this.#arriving.clear();
    this.#arriving.set(key, arriving);
  }

  async #tagArrived(): Promise<void> {
    for (const arriving of [...this.#arriving.values()]) await this.#moveTag(arriving);
  }

  async #keepManifest(repo: string, digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const { mediaType } = parseManifest(bytes);
    const manifest = { mediaType, digest, size: bytes.length };
    const isKept = await this.#keep(() => this.#store.writeManifest(repo, manifest, bytes));
    // All its blobs may have been here, with another image.
    await this.#tagArrived();
    return isKept;
  }

  /** Writes to the store; where that cannot be done, what came is given on all the same. */
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

  // Once, until something could be kept again: it is the same for all that comes.
  #reportBypass(why: BypassReason): void {
    if (this.#reported.has(why)) return;
    this.#reported.add(why);
    const reason = why === "read-only" ? "the data folder cannot be written" : "there is no space left on the device";
    this.#warn(`What comes from upstreams is served, but not kept: ${reason}`);
  }

  async #ifComplete(repo: string, cached: Descriptor | undefined): Promise<Descriptor | undefined> {
    // A manifest without its blobs would take the client away from a mirror that has them.
    return cached !== undefined && await isComplete(this.#store, repo, cached) ? cached : undefined;
  }

  async #orHeld<T>(repo: string, ask: (upstream: Upstream) => Promise<T>): Promise<T | undefined> {
    if (this.#upstream === undefined) return undefined;
    try {
      return await ask(this.#upstream);
    } catch (error) {
      this.#warn(`What is held of ${repo} is all that is listed: ${(error as Error).message}`);
      return undefined;
    }
  }
}
