import { type Digest, isDigest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { isComplete } from "./completeness.ts";
import type { IngestStore } from "./disk_store.ts";
import { Download } from "./download.ts";
import type { Ingest } from "./ingest.ts";
import { SingleFlight } from "./single_flight.ts";
import type { ByteRange, ContentCatalog, ContentSource, OpenedBlob } from "./source.ts";

/** A source far away. It gives `undefined`, without asking anybody, for what it may not be asked. */
export interface Upstream extends ContentSource {
  /** What a tag stands for now, without reading the manifest. */
  headManifest(repo: string, tag: string): Promise<Descriptor | undefined>;
  /** As `ContentCatalog` has it. */
  listReferrers(repo: string, digest: Digest): Promise<Descriptor[]>;
}

/** What a `PullThrough` is made of. */
export interface PullThroughOptions {
  readonly store: IngestStore;
  /** Absent: nothing is ever asked of anybody. */
  readonly upstream?: Upstream | undefined;
  /** How long a tag is believed before the upstream is asked again, in milliseconds. */
  readonly tagTtl?: number;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Told of what went wrong where the cache helped out. */
  readonly warn?: (message: string) => void;
}

/** A store that gets from an upstream what it lacks, once for all that ask, and keeps it. */
export class PullThrough implements ContentCatalog {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #tagTtl: number;
  readonly #now: () => number;
  readonly #warn: (message: string) => void;
  readonly #believedUntil = new Map<string, number>();
  readonly #manifests = new SingleFlight<Descriptor | undefined>();
  readonly #starts = new SingleFlight<Download | undefined>();
  readonly #downloads = new Map<Digest, Download>();

  constructor(options: PullThroughOptions) {
    this.#store = options.store;
    this.#upstream = options.upstream;
    this.#tagTtl = options.tagTtl ?? 0;
    this.#now = options.now ?? (() => performance.now());
    this.#warn = options.warn ?? (() => {});
  }

  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    const key = `${repo}@${tagOrDigest}`;
    const cached = await this.#store.resolve(repo, tagOrDigest);
    if (this.#upstream === undefined) return await this.#ifComplete(repo, cached);
    const isFixed = isDigest(tagOrDigest) || this.#now() < (this.#believedUntil.get(key) ?? -Infinity);
    if (cached !== undefined && isFixed) return cached;
    return await this.#manifests.run(key, () => this.#resolveUpstream(repo, tagOrDigest, cached));
  }

  async readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined> {
    const held = await this.#store.readManifest(repo, digest);
    if (held !== undefined || this.#upstream === undefined) return held;
    const descriptor = await this.resolve(repo, digest);
    return descriptor && await this.#store.readManifest(repo, digest);
  }

  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#store.statBlob(repo, digest) ?? this.#downloads.get(digest)?.size ??
      await this.#upstream?.statBlob(repo, digest);
  }

  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const held = await this.#store.openBlob(repo, digest, range);
    if (held !== undefined || this.#upstream === undefined) return held;
    const download = await this.#download(repo, digest);
    // What cannot be followed any more has moved into the store, or was there before it was asked for again.
    return await download?.follow(range) ?? await this.#store.openBlob(repo, digest, range);
  }

  /**
   * Brings a blob into the store, if it is not there.
   *
   * @param onProgress told how many of its bytes have come
   * @throws {RegistryError} when nobody has it
   */
  async fetchBlob(repo: string, digest: Digest, onProgress: (bytes: number) => void = () => {}): Promise<void> {
    if (await this.#store.statBlob(repo, digest) === undefined && this.#upstream !== undefined) {
      const download = await this.#download(repo, digest);
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

  async #resolveUpstream(
    repo: string,
    tagOrDigest: string,
    cached: Descriptor | undefined,
  ): Promise<Descriptor | undefined> {
    const upstream = this.#upstream!;
    let fresh: Descriptor | undefined;
    try {
      fresh = cached === undefined
        ? await upstream.resolve(repo, tagOrDigest)
        : await upstream.headManifest(repo, tagOrDigest);
      if (fresh !== undefined && fresh.digest !== cached?.digest) {
        fresh = await this.#keepManifest(repo, fresh);
      }
    } catch (error) {
      const usable = await this.#ifComplete(repo, cached);
      if (usable === undefined) throw error;
      this.#warn(`${repo}:${tagOrDigest} is served from the store: ${(error as Error).message}`);
      return usable;
    }
    if (fresh === undefined) return await this.#ifComplete(repo, cached);
    if (!isDigest(tagOrDigest)) {
      if (fresh.digest !== cached?.digest) await this.#store.tag(repo, tagOrDigest, fresh.digest);
      this.#believedUntil.set(`${repo}@${tagOrDigest}`, this.#now() + this.#tagTtl);
    }
    return fresh;
  }

  async #keepManifest(repo: string, fresh: Descriptor): Promise<Descriptor | undefined> {
    const held = await this.#store.resolve(repo, fresh.digest);
    if (held !== undefined) return held;
    const bytes = await this.#upstream!.readManifest(repo, fresh.digest);
    if (bytes === undefined) return undefined;
    const descriptor = { mediaType: fresh.mediaType, digest: fresh.digest, size: bytes.length };
    await this.#store.writeManifest(repo, descriptor, bytes);
    return descriptor;
  }

  #download(repo: string, digest: Digest): Promise<Download | undefined> {
    const running = this.#downloads.get(digest);
    if (running !== undefined) return Promise.resolve(running);
    return this.#starts.run(digest, async () => {
      // Between the look into the store and now, a download of the same blob may have ended.
      if (await this.#store.statBlob(repo, digest) !== undefined) return undefined;
      return await this.#startDownload(repo, digest);
    });
  }

  async #startDownload(repo: string, digest: Digest): Promise<Download | undefined> {
    const ingest = await this.#store.openIngest(digest);
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
    ingest.expectSize(size);
    const download = new Download(ingest, { digest, size, body });
    this.#downloads.set(digest, download);
    const forget = () => this.#downloads.delete(digest);
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
