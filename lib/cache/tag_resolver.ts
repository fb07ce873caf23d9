import { SingleFlight } from "../content/single_flight.ts";
import type { ResolvedManifest } from "../content/source.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { splitRepository } from "../oci/reference.ts";
import type { IngestStore } from "../store/blob_store.ts";
import type { CacheEvent } from "./cache_event.ts";
import { checkImage, COMPLETE, type HeldImage, isComplete } from "./completeness.ts";
import type { StoreWrites } from "./store_writes.ts";
import type { AskOptions } from "../content/ask_options.ts";
import type { Upstream } from "./upstream.ts";

/** Options of a `TagResolver`. */
interface TagResolverOptions {
  readonly store: IngestStore;
  readonly upstream: Upstream | undefined;
  readonly writes: StoreWrites;
  /** Stores a manifest. Returns `false` if the store cannot accept it. */
  readonly keepManifest: (repo: string, digest: Digest, bytes: Uint8Array) => Promise<boolean>;
  /** Time for which a tag is fresh, in milliseconds. */
  readonly tagTtl: number;
  /** See `PullThroughOptions`. */
  readonly revalidationWait: number | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  readonly warn: (message: string) => void;
  readonly onEvent: (event: CacheEvent) => void;
}

// Longest time for which a stale tag is served before its upstream is tried again, in milliseconds.
const STALE_MILLISECONDS = 30_000;
const MAX_TAGS = 50_000;
const MAX_PENDING_TAGS = 1000;
const MAX_REVALIDATIONS = 64;
const MAX_REPORTED = 1000;
// Time for which a complete image counts as complete without looking at the files of all its blobs again.
const COMPLETE_MILLISECONDS = 1000;
const MAX_COMPLETE = 10_000;

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

/** An image in the store that can be served, at least to a client that has its missing blobs. */
interface Usable extends HeldImage {
  readonly manifest: Descriptor;
}

/** A tag that is being looked up while clients are served its last known image. */
interface Revalidation {
  readonly result: Promise<ResolvedManifest | undefined>;
  /** Resolves when the clients no longer wait for the result. */
  readonly timeout: Promise<undefined>;
}

/** Resolves tags and digests of a store with an upstream behind it, and moves the tags of the store. */
export class TagResolver {
  readonly #options: TagResolverOptions;
  readonly #store: IngestStore;
  readonly #freshness = new Map<string, TagFreshness>();
  readonly #pendingTags = new Map<string, PendingTag>();
  readonly #lookups = new SingleFlight<ResolvedManifest | undefined>();
  readonly #revalidations = new Map<string, Revalidation>();
  // Registries that failed lately, with the time until which they count as unreachable.
  readonly #failing = new Map<string, number>();
  readonly #reported = new Set<Digest>();
  // Images that were complete, with the time until which they count as complete.
  readonly #complete = new Map<string, number>();

  constructor(options: TagResolverOptions) {
    this.#options = options;
    this.#store = options.store;
  }

  /** Implements `ContentSource.resolve`. */
  async resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined> {
    const { upstream, now, revalidationWait } = this.#options;
    const key = `${repo}@${tagOrDigest}`;
    const held = await this.#store.resolve(repo, tagOrDigest);
    // Without an upstream for the repository the tag cannot be stale.
    const isAsked = upstream?.allows?.(repo) !== false &&
      (isDigest(tagOrDigest) || upstream?.knowsTags?.(repo) !== false);
    if (upstream === undefined || !isAsked) {
      return this.#serve(repo, tagOrDigest, await this.#findUsable(repo, [held]));
    }
    if (held !== undefined && isDigest(tagOrDigest)) {
      return this.#isFailing(repo) ? this.#serve(repo, tagOrDigest, await this.#findUsable(repo, [held])) : held;
    }
    const cached = this.#pendingTags.get(key)?.manifest ?? held;
    const freshness = this.#freshness.get(key);
    const isFresh = freshness !== undefined && now() < freshness.until;
    if (cached !== undefined && isFresh && !freshness.isStale) return cached;
    const usable = cached === undefined ? undefined : await this.#findUsable(repo, [cached, held]);
    if (usable !== undefined && isFresh) return { ...this.#serve(repo, tagOrDigest, usable)!, isStale: true };
    if (usable === undefined || revalidationWait === undefined) {
      return await this.#lookUp(repo, tagOrDigest, { cached, held, isAwaited: true });
    }
    const revalidation = this.#revalidations.get(key) ??
      this.#revalidate(key, () => this.#lookUp(repo, tagOrDigest, { cached, held, isAwaited: false }));
    const fresh = revalidation && await Promise.race([revalidation.result, revalidation.timeout]);
    if (fresh !== undefined) return fresh;
    // Checked again: blobs may have been stored in the meantime.
    const latest = await this.#findUsable(repo, [cached, held]) ?? usable;
    return { ...this.#serve(repo, tagOrDigest, latest)!, isStale: true };
  }

  /** Moves the tags whose new image is complete by now. */
  async moveCompleteTags(): Promise<void> {
    for (const [key, pending] of [...this.#pendingTags]) {
      // The tag may have moved on meanwhile.
      if (this.#pendingTags.get(key) === pending) await this.#moveTag(pending);
    }
  }

  /** Starts a lookup that no client waits for, or only shortly; `undefined` when there are too many. */
  #revalidate(key: string, lookUp: () => Promise<ResolvedManifest | undefined>): Revalidation | undefined {
    if (this.#revalidations.size >= MAX_REVALIDATIONS) return undefined;
    const timeout = Promise.withResolvers<undefined>();
    const timer = setTimeout(() => timeout.resolve(undefined), this.#options.revalidationWait);
    const result = lookUp().finally(() => {
      clearTimeout(timer);
      this.#revalidations.delete(key);
    });
    result.catch(() => {});
    const revalidation = { result, timeout: timeout.promise };
    this.#revalidations.set(key, revalidation);
    return revalidation;
  }

  #lookUp(
    repo: string,
    tagOrDigest: string,
    known: { cached: Descriptor | undefined; held: Descriptor | undefined; isAwaited: boolean },
  ): Promise<ResolvedManifest | undefined> {
    return this.#lookups.run(`${repo}@${tagOrDigest}`, async () => {
      const { cached, held, isAwaited } = known;
      const usable = await this.#findUsable(repo, [cached, held]);
      let fresh: ResolvedManifest | undefined;
      try {
        fresh = await this.#askUpstream(repo, tagOrDigest, { cached, isUrgent: isAwaited && usable !== undefined });
        this.#failing.delete(splitRepository(repo).host);
      } catch (error) {
        this.#noteFailure(repo);
        // Checked again: blobs may have been stored in the meantime.
        const latest = await this.#findUsable(repo, [cached, held]) ?? usable;
        if (latest === undefined) throw error;
        return this.#serveStale(repo, tagOrDigest, { usable: latest, reason: (error as Error).message });
      }
      if (fresh !== undefined) return this.#remember(repo, tagOrDigest, fresh);
      if (usable === undefined) return undefined;
      return this.#serveStale(repo, tagOrDigest, { usable, reason: "the upstream no longer has it" });
    });
  }

  #serveStale(
    repo: string,
    tagOrDigest: string,
    { usable, reason }: { usable: Usable; reason: string },
  ): ResolvedManifest {
    this.#options.warn(`${repo}:${tagOrDigest} is served from the store: ${reason}`);
    return this.#remember(repo, tagOrDigest, { ...this.#serve(repo, tagOrDigest, usable)!, isStale: true });
  }

  #remember(repo: string, tagOrDigest: string, manifest: ResolvedManifest): ResolvedManifest {
    const { tagTtl, now, onEvent } = this.#options;
    const isStale = manifest.isStale === true;
    const ttl = isStale ? Math.min(tagTtl, STALE_MILLISECONDS) : tagTtl;
    if (this.#freshness.size >= MAX_TAGS) this.#freshness.clear();
    this.#freshness.set(`${repo}@${tagOrDigest}`, { until: now() + ttl, isStale });
    if (isStale) onEvent({ type: "stale", repo });
    return manifest;
  }

  async #askUpstream(
    repo: string,
    tagOrDigest: string,
    { cached, ...options }: AskOptions & { cached: Descriptor | undefined },
  ): Promise<ResolvedManifest | undefined> {
    const upstream = this.#options.upstream!;
    const fresh = cached === undefined
      ? await upstream.resolve(repo, tagOrDigest)
      : await upstream.headManifest(repo, tagOrDigest, options);
    // The stored manifest keeps the media type that was stated first.
    if (fresh === undefined || fresh.digest === cached?.digest) return fresh && cached;
    const held = await this.#store.resolve(repo, fresh.digest);
    const bytes = held === undefined ? await upstream.readManifest(repo, fresh.digest, options) : undefined;
    if (held === undefined && bytes === undefined) return undefined;
    const descriptor = held ?? { mediaType: fresh.mediaType, digest: fresh.digest, size: bytes!.length };
    const isKept = bytes === undefined || await this.#options.keepManifest(repo, fresh.digest, bytes);
    if (isKept && !isDigest(tagOrDigest)) await this.#moveTag({ repo, tag: tagOrDigest, manifest: descriptor }, bytes);
    if (bytes !== undefined) await this.moveCompleteTags();
    return held === undefined ? { ...descriptor, isFetched: true } : descriptor;
  }

  /**
   * Moves a tag in the store. If it refers to a complete image, it is moved only once the next image is complete too.
   *
   * @param bytes the manifest, if it was just stored: until it has its tag, a collection of untagged manifests in another
   *   process may remove it, and it is stored again
   */
  async #moveTag(pending: PendingTag, bytes?: Uint8Array): Promise<void> {
    const { repo, tag, manifest } = pending;
    const key = `${repo}@${tag}`;
    if (this.#pendingTags.size >= MAX_PENDING_TAGS) this.#pendingTags.delete(this.#pendingTags.keys().next().value!);
    // Until it is stored, so that the old image does not come back while the write waits for an eviction.
    this.#pendingTags.set(key, pending);
    const forget = () => {
      if (this.#pendingTags.get(key) === pending) this.#pendingTags.delete(key);
    };
    const isHeld = async () => await this.#store.resolve(repo, manifest.digest) !== undefined;
    const isReady = async () => {
      const before = await this.#store.resolve(repo, tag);
      const isReplaceable = before === undefined || !await isComplete(this.#store, repo, before);
      if (!isReplaceable) return await isComplete(this.#store, repo, manifest);
      // The image may have been evicted: a client that requests the manifest stores it again.
      return bytes !== undefined || await isHeld();
    };
    if (!await isReady()) return;
    const isKept = await this.#options.writes.attempt(manifest.digest, async () => {
      // Checked again after an eviction; and the tag may have moved on meanwhile.
      if (this.#pendingTags.get(key) !== pending || !await isReady()) return;
      await this.#store.tag(repo, tag, manifest.digest);
      if (bytes !== undefined && !await isHeld()) {
        await this.#store.writeManifest(repo, { ...manifest, isFetched: true }, bytes);
      }
      forget();
    });
    if (!isKept) forget();
  }

  /** Finds the first complete image of some, or else the first one that can be served without all of its blobs. */
  async #findUsable(repo: string, candidates: readonly (Descriptor | undefined)[]): Promise<Usable | undefined> {
    let partial: Usable | undefined;
    const distinct = new Map(candidates.filter((it) => it !== undefined).map((it) => [it.digest, it]));
    for (const manifest of distinct.values()) {
      const held = await this.#check(repo, manifest);
      if (held.state === "complete") return { ...held, manifest };
      // An image of which nothing is held would keep the client from trying another mirror that has it.
      if (held.state === "partial") partial ??= { ...held, manifest };
    }
    return partial;
  }

  /** Checks an image, unless it was complete a moment ago: a check looks at every blob, also for each of many clients. */
  async #check(repo: string, manifest: Descriptor): Promise<HeldImage> {
    const { now } = this.#options;
    const key = `${repo}@${manifest.digest}`;
    if (now() < (this.#complete.get(key) ?? -Infinity)) return COMPLETE;
    const held = await checkImage(this.#store, repo, manifest);
    this.#complete.delete(key);
    if (held.state !== "complete") return held;
    if (this.#complete.size >= MAX_COMPLETE) this.#complete.clear();
    this.#complete.set(key, now() + COMPLETE_MILLISECONDS);
    return held;
  }

  /** Gives an image of the store whose missing blobs cannot be fetched. The client may have them. */
  #serve(repo: string, tagOrDigest: string, usable: Usable | undefined): ResolvedManifest | undefined {
    if (usable === undefined || usable.state === "complete") return usable?.manifest;
    const { manifest, missing, missingCount } = usable;
    this.#options.onEvent({ type: "incomplete", repo });
    if (!this.#reported.has(manifest.digest)) {
      if (this.#reported.size >= MAX_REPORTED) this.#reported.clear();
      this.#reported.add(manifest.digest);
      const name = `${repo}${isDigest(tagOrDigest) ? "@" : ":"}${tagOrDigest}`;
      const names = missing.join(", ") + (missingCount > missing.length ? ", …" : "");
      this.#options.warn(`${name} is served without ${missingCount} of its blobs, which are missing: ${names}`);
    }
    return { ...manifest, isIncomplete: true };
  }

  #isFailing(repo: string): boolean {
    return this.#options.now() < (this.#failing.get(splitRepository(repo).host) ?? -Infinity);
  }

  #noteFailure(repo: string): void {
    if (this.#failing.size >= MAX_REPORTED) this.#failing.clear();
    this.#failing.set(splitRepository(repo).host, this.#options.now() + STALE_MILLISECONDS);
  }
}
