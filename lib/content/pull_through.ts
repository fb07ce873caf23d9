import { type Digest, isDigest } from "../oci/digest.ts";
import { NoSpaceError, RegistryError } from "../oci/error.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import { isComplete } from "./completeness.ts";
import { isNotWritable } from "./data_folder.ts";
import type { IngestStore } from "./disk_store.ts";
import { Download } from "./download.ts";
import { type Ingest, isNoSpace } from "./ingest.ts";
import { SingleFlight } from "./single_flight.ts";
import {
  type ByteRange,
  type ContentCatalog,
  type ContentSource,
  type OpenedBlob,
  type ResolvedManifest,
  resolveRange,
} from "./source.ts";
import { verifyStream } from "./verified_stream.ts";

/** How an upstream is asked. */
export interface AskOptions {
  /** Whoever asks has something to fall back on: one try, and no long wait. */
  readonly isUrgent?: boolean;
}

/** A source far away. It gives `undefined`, without asking anybody, for what it may not be asked. */
export interface Upstream extends ContentSource {
  /** What a tag stands for now, without reading the manifest. */
  headManifest(repo: string, tag: string, options?: AskOptions): Promise<Descriptor | undefined>;
  readManifest(repo: string, digest: Digest, options?: AskOptions): Promise<Uint8Array | undefined>;
  /** As `ContentCatalog` has it. */
  listReferrers(repo: string, digest: Digest): Promise<Descriptor[]>;
}

/** Keeps a store within a size. */
export interface RoomKeeper {
  /** Makes room; `undefined`: there is none to be had. Disposed of when the blob is in its place or given up. */
  reserve(bytes: number): Promise<Disposable | undefined>;
  /** An image was asked for. */
  touch(repo: string, digest: Digest): void;
}

/** Something that the cache did, for metrics. */
export type CacheEvent =
  /** A blob's download began. */
  | { readonly type: "download"; readonly repo: string; readonly size: number }
  /** A client joined one that was running. */
  | { readonly type: "shared"; readonly repo: string }
  /** Bytes of a blob came from an upstream. */
  | { readonly type: "received"; readonly repo: string; readonly bytes: number }
  /** A tag was served although its upstream could not be asked. */
  | { readonly type: "stale"; readonly repo: string }
  /** A blob was given on without being kept. */
  | { readonly type: "unkept"; readonly repo: string };

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

/** What is believed of a tag, and until when. */
interface Belief {
  readonly until: number;
  readonly isStale: boolean;
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
  readonly #beliefs = new Map<string, Belief>();
  readonly #manifests = new SingleFlight<ResolvedManifest | undefined>();
  readonly #reads = new SingleFlight<Uint8Array | undefined>();
  readonly #starts = new SingleFlight<Download | "unkept" | undefined>();
  readonly #downloads = new Map<Digest, Download>();

  constructor(options: PullThroughOptions) {
    this.#store = options.store;
    this.#upstream = options.upstream;
    this.#room = options.room;
    this.#tagTtl = options.tagTtl ?? 0;
    this.#now = options.now ?? (() => performance.now());
    this.#warn = options.warn ?? (() => {});
    this.#onEvent = options.onEvent ?? (() => {});
  }

  /** Whether a blob is being downloaded. */
  isDownloading(digest: Digest): boolean {
    return this.#downloads.has(digest);
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

  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#store.statBlob(repo, digest) ?? this.#downloads.get(digest)?.size ??
      await this.#upstream?.statBlob(repo, digest);
  }

  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const held = await this.#store.openBlob(repo, digest, range);
    if (held !== undefined || this.#upstream === undefined) return held;
    const download = await this.#download(repo, digest);
    const followed = download === "unkept" ? undefined : await download?.follow(range);
    if (followed !== undefined) return followed;
    // What cannot be followed has moved into the store meanwhile, or there is no room for it.
    return await this.#store.openBlob(repo, digest, range) ??
      (download === undefined ? undefined : await this.#passThrough(repo, digest, range));
  }

  /**
   * Brings a blob into the store, if it is not there.
   *
   * @param onProgress told how many of its bytes have come
   * @throws {RegistryError} when nobody has it
   * @throws {NoSpaceError} when there is no room for it
   */
  async fetchBlob(repo: string, digest: Digest, onProgress: (bytes: number) => void = () => {}): Promise<void> {
    if (await this.#store.statBlob(repo, digest) === undefined && this.#upstream !== undefined) {
      const download = await this.#download(repo, digest);
      if (download === "unkept") throw new NoSpaceError(`Cannot keep ${digest} of ${repo}: there is no room for it`);
      await download?.watch(onProgress);
    }
    if (await this.#store.statBlob(repo, digest) === undefined) {
      throw new RegistryError("BLOB_UNKNOWN", `Cannot find blob ${digest} of ${repo}`);
    }
    await this.#store.linkBlob(repo, digest);
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
    const cached = await this.#store.resolve(repo, tagOrDigest);
    if (this.#upstream === undefined) return await this.#ifComplete(repo, cached);
    if (cached !== undefined && isDigest(tagOrDigest)) return cached;
    const key = `${repo}@${tagOrDigest}`;
    const belief = this.#beliefs.get(key);
    if (cached !== undefined && belief !== undefined && this.#now() < belief.until) {
      return belief.isStale ? { ...cached, isStale: true } : cached;
    }
    return await this.#manifests.run(key, () => this.#resolveUpstream(repo, tagOrDigest, cached));
  }

  async #resolveUpstream(
    repo: string,
    tagOrDigest: string,
    cached: Descriptor | undefined,
  ): Promise<ResolvedManifest | undefined> {
    const usable = await this.#ifComplete(repo, cached);
    let fresh: Descriptor | undefined;
    try {
      fresh = await this.#askUpstream(repo, tagOrDigest, cached, { isUrgent: usable !== undefined });
    } catch (error) {
      if (usable === undefined) throw error;
      this.#warn(`${repo}:${tagOrDigest} is served from the store: ${(error as Error).message}`);
      return this.#believe(repo, tagOrDigest, { ...usable, isStale: true });
    }
    if (fresh !== undefined) return this.#believe(repo, tagOrDigest, fresh);
    if (usable === undefined) return undefined;
    this.#warn(`${repo}:${tagOrDigest} is served from the store: the upstream does not have it any more`);
    return this.#believe(repo, tagOrDigest, { ...usable, isStale: true });
  }

  #believe(repo: string, tagOrDigest: string, manifest: ResolvedManifest): ResolvedManifest {
    const isStale = manifest.isStale === true;
    const ttl = isStale ? Math.min(this.#tagTtl, STALE_MILLISECONDS) : this.#tagTtl;
    if (this.#beliefs.size >= MAX_BELIEFS) this.#beliefs.clear();
    this.#beliefs.set(`${repo}@${tagOrDigest}`, { until: this.#now() + ttl, isStale });
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
    if (!isDigest(tagOrDigest)) await this.#keep(() => this.#store.tag(repo, tagOrDigest, fresh.digest));
    return descriptor;
  }

  async #keepManifest(repo: string, digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const { mediaType } = parseManifest(bytes);
    return await this.#keep(() => this.#store.writeManifest(repo, { mediaType, digest, size: bytes.length }, bytes));
  }

  /** Writes to the store; where that cannot be done, what came is given on all the same. */
  async #keep(write: () => Promise<void>): Promise<boolean> {
    try {
      await write();
      return true;
    } catch (error) {
      if (!isUnkeepable(error)) throw error;
      this.#warn(`What comes from upstreams is not kept: ${(error as Error).message}`);
      return false;
    }
  }

  async #download(repo: string, digest: Digest): Promise<Download | "unkept" | undefined> {
    const running = this.#downloads.get(digest);
    if (running !== undefined) {
      this.#onEvent({ type: "shared", repo });
      return running;
    }
    return await this.#starts.run(digest, async () => {
      // Between the look into the store and now, a download of the same blob may have ended.
      if (await this.#store.statBlob(repo, digest) !== undefined) return undefined;
      return this.#downloads.get(digest) ?? await this.#startDownload(repo, digest);
    });
  }

  async #startDownload(repo: string, digest: Digest): Promise<Download | "unkept" | undefined> {
    let ingest: Ingest;
    try {
      ingest = await this.#store.openIngest(digest);
    } catch (error) {
      if (!isUnkeepable(error)) throw error;
      return "unkept";
    }
    let opened: OpenedBlob | undefined;
    try {
      opened = await this.#openFrom(repo, digest, ingest);
    } catch (error) {
      if (ingest.written === 0) await ingest.abort();
      else ingest.keep();
      throw error;
    }
    if (opened === undefined) {
      await ingest.abort();
      return undefined;
    }
    const { size, body } = opened;
    const reservation = this.#room === undefined ? NO_RESERVATION : await this.#room.reserve(size);
    if (reservation === undefined) {
      await body.cancel();
      await ingest.abort();
      return "unkept";
    }
    ingest.expectSize(size);
    this.#onEvent({ type: "download", repo, size });
    const download = new Download(ingest, { digest, size, body }, (bytes) => {
      this.#onEvent({ type: "received", repo, bytes });
    });
    this.#downloads.set(digest, download);
    const forget = () => {
      this.#downloads.delete(digest);
      reservation[Symbol.dispose]();
    };
    download.done.then(forget, forget);
    return download;
  }

  /** The rest of a blob, of which `ingest` has the beginning. */
  async #openFrom(repo: string, digest: Digest, ingest: Ingest): Promise<OpenedBlob | undefined> {
    if (ingest.written === 0) return await this.#upstream!.openBlob(repo, digest);
    const size = await this.#upstream!.statBlob(repo, digest);
    if (size === undefined) return undefined;
    if (ingest.written < size) return await this.#upstream!.openBlob(repo, digest, { start: ingest.written });
    return { size, start: size, length: 0, body: ReadableStream.from([]) };
  }

  /** Gives a blob on without keeping it: a download for each client. */
  async #passThrough(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const opened = await this.#upstream!.openBlob(repo, digest);
    if (opened === undefined) return undefined;
    this.#onEvent({ type: "unkept", repo });
    const { size, body } = opened;
    try {
      const part = resolveRange(size, range);
      return { size, ...part, body: verifyStream(body, { digest, size }, part) };
    } catch (error) {
      await body.cancel();
      throw error;
    }
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

const NO_RESERVATION: Disposable = { [Symbol.dispose]() {} };

/** Tells whether the store cannot take anything now, which is no reason not to serve. */
function isUnkeepable(error: unknown): boolean {
  return error instanceof NoSpaceError || isNoSpace(error) || isNotWritable(error);
}
