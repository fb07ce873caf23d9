import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { OpenedBlob } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { isNoSpace } from "../files/no_space.ts";
import type { Digest } from "../oci/digest.ts";
import { NoSpaceError, RegistryError } from "../oci/error.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { isNotWritable } from "../store/data_folder.ts";
import type { Ingest } from "../store/ingest.ts";
import { SharedDownload } from "./shared_download.ts";
import type { Upstream, UpstreamBlob } from "./upstream.ts";
import { verifyStream } from "./verifying_stream.ts";

/** Keeps a store within a size limit. */
export interface SpaceManager {
  /**
   * Reserves space for a blob, and evicts images if necessary. The reservation must be disposed of when the blob is
   * committed, or its download has failed.
   *
   * @param bytes size of the blob
   * @param digest digest of the blob; its image is not evicted
   * @returns `undefined` when there is not enough space
   */
  reserve(bytes: number, digest?: Digest): Promise<Disposable | undefined>;
  /** Records that a manifest was requested. */
  touch(repo: string, digest: Digest): void;
}

/** An event in the cache, for metrics and the log. */
export type CacheEvent =
  /** The download of a blob started. */
  | { readonly type: "download"; readonly repo: string; readonly size: number }
  /** A client joined a download in progress. */
  | { readonly type: "shared"; readonly repo: string }
  /** Bytes of a blob were received from an upstream. */
  | { readonly type: "received"; readonly repo: string; readonly bytes: number }
  /** A tag was served from the store, because its upstream could not be reached or no longer has it. */
  | { readonly type: "stale"; readonly repo: string }
  /** A blob was served without being cached. */
  | {
    readonly type: "bypass";
    readonly repo: string;
    readonly digest: Digest;
    readonly size: number;
    readonly why: BypassReason;
  }
  /** A blob was received incomplete or corrupt. `host` sent it. */
  | {
    readonly type: "failed";
    readonly repo: string;
    readonly digest: Digest;
    readonly host: string | undefined;
    readonly error: unknown;
  };

/** Why a blob is not cached: the disk is full, the size limit is reached, or the data folder is not writable. */
export type BypassReason = "disk" | "limit" | "read-only";

/** Options of a `BlobCache`. */
export interface BlobCacheOptions {
  readonly store: IngestStore;
  readonly upstream?: Upstream | undefined;
  readonly space?: SpaceManager | undefined;
  readonly onEvent?: (event: CacheEvent) => void;
  /** Called when a download has succeeded or failed. Errors that it throws are passed to `warn`. */
  readonly onDownloadEnd: () => Promise<void>;
  readonly warn?: (message: string) => void;
}

/** The blobs of a store and its upstream. A blob is downloaded once for all concurrent clients, and cached. */
export class BlobCache {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #space: SpaceManager | undefined;
  readonly #onEvent: (event: CacheEvent) => void;
  readonly #onDownloadEnd: () => Promise<void>;
  readonly #warn: (message: string) => void;
  readonly #starts = new SingleFlight<SharedDownload | Uncached | undefined>();
  readonly #downloads = new Map<Digest, SharedDownload>();

  constructor(options: BlobCacheOptions) {
    this.#store = options.store;
    this.#upstream = options.upstream;
    this.#space = options.space;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#onDownloadEnd = options.onDownloadEnd;
    this.#warn = options.warn ?? (() => {});
  }

  /** Reports whether a download of a blob is in progress. */
  isDownloading(digest: Digest): boolean {
    return this.#downloads.has(digest);
  }

  /** Returns the size of a blob in bytes; `undefined` if neither the store nor the upstream has it. */
  async stat(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#store.statBlob(repo, digest) ?? this.#downloads.get(digest)?.size ??
      await this.#upstream?.statBlob(repo, digest);
  }

  /** Implements `ContentSource.openBlob`: opens a blob in the store, or follows the shared download of it. */
  async open(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const held = await this.#store.openBlob(repo, digest, range);
    if (held !== undefined || this.#upstream === undefined) return held;
    const download = await this.#download(repo, digest);
    const followed = download instanceof SharedDownload ? await download.follow(range) : undefined;
    if (followed !== undefined) return followed;
    // A download that cannot be followed has been committed to the store in the meantime, or has no space.
    const kept = await this.#store.openBlob(repo, digest, range);
    if (kept !== undefined || download === undefined) return kept;
    return await this.#passThrough(
      { repo, digest, why: download instanceof SharedDownload ? "disk" : download.why },
      range,
    );
  }

  /**
   * Downloads a blob to the store, unless the store has it with the right size.
   *
   * @param onProgress called with the number of bytes written so far
   * @throws {RegistryError} when neither the store nor the upstream has the blob
   * @throws {NoSpaceError} when there is not enough space for it
   */
  async fetch(
    repo: string,
    { digest, size }: { digest: Digest; size: number },
    onProgress: (bytes: number) => void = () => {},
  ): Promise<void> {
    const isHeld = async () => await this.#store.statBlob(repo, digest) === size;
    // A download that resumed from a corrupt partial file is retried once, from the start.
    for (let attempt = 1; !await isHeld() && this.#upstream !== undefined; attempt++) {
      const download = await this.#download(repo, digest, size);
      if (download !== undefined && !(download instanceof SharedDownload)) throw download.error;
      try {
        await download?.watch(onProgress);
        break;
      } catch (error) {
        if (!(error instanceof DigestMismatchError) || !download?.isResumed || attempt > 1) throw error;
      }
    }
    if (!await isHeld()) throw new RegistryError("BLOB_UNKNOWN", `Cannot find blob ${digest} of ${repo}`);
    await this.#store.linkBlob(repo, digest);
  }

  /** @param size expected size of the blob; a stored file of another size is downloaded again */
  async #download(repo: string, digest: Digest, size?: number): Promise<SharedDownload | Uncached | undefined> {
    const running = this.#downloads.get(digest);
    if (running !== undefined) {
      this.#onEvent({ type: "shared", repo });
      return running;
    }
    return await this.#starts.run(digest, async () => {
      // Checked again: a download of the same blob may have ended since the store was checked.
      const held = await this.#store.statBlob(repo, digest);
      if (held !== undefined && held === (size ?? held)) return undefined;
      return this.#downloads.get(digest) ?? await this.#startDownload(repo, digest);
    });
  }

  async #startDownload(repo: string, digest: Digest): Promise<SharedDownload | Uncached | undefined> {
    let ingest: Ingest;
    try {
      ingest = await this.#store.openIngest(digest, repo);
    } catch (error) {
      const why = bypassReasonOf(error);
      if (why === undefined) throw error;
      return { error, why };
    }
    let opened: UpstreamBlob | undefined;
    let reservation: Disposable | undefined;
    try {
      opened = await this.#openFrom(repo, digest, ingest);
      if (opened !== undefined) {
        reservation = this.#space === undefined ? NO_RESERVATION : await this.#space.reserve(opened.size, digest);
      }
    } catch (error) {
      await opened?.body.cancel(error);
      if (ingest.written === 0) await ingest.abort();
      else ingest.keep();
      throw error;
    }
    if (opened === undefined || reservation === undefined) {
      await opened?.body.cancel();
      await ingest.abort();
      if (opened === undefined) return undefined;
      const error = new NoSpaceError(`Cannot cache ${digest} of ${repo}: not enough space within the cache limit`);
      return { error, why: "limit" };
    }
    return this.#follow(ingest, { repo, digest, ...opened }, reservation);
  }

  #follow(
    ingest: Ingest,
    { repo, digest, size, body, host }: UpstreamBlob & { repo: string; digest: Digest },
    reservation: Disposable,
  ): SharedDownload {
    ingest.expectSize(size);
    this.#onEvent({ type: "download", repo, size });
    const download = new SharedDownload(ingest, { digest, size, body }, (bytes) => {
      this.#onEvent({ type: "received", repo, bytes });
    });
    this.#downloads.set(digest, download);
    const forget = () => {
      this.#downloads.delete(digest);
      reservation[Symbol.dispose]();
    };
    download.done.catch((error) => this.#reportFailure({ repo, digest, size, host }, error));
    download.done.then(forget, forget).then(() => this.#onDownloadEnd()).catch((error) => {
      this.#warn((error as Error).message);
    });
    return download;
  }

  /** Opens the rest of a blob in the upstream, from byte `ingest.written`. */
  async #openFrom(repo: string, digest: Digest, ingest: Ingest): Promise<UpstreamBlob | undefined> {
    if (ingest.written === 0) return await this.#upstream!.openBlob(repo, digest);
    const size = await this.#upstream!.statBlob(repo, digest);
    if (size === undefined) return undefined;
    if (ingest.written < size) return await this.#upstream!.openBlob(repo, digest, { start: ingest.written });
    return { size, start: size, length: 0, body: ReadableStream.from([]) };
  }

  /** Serves a blob from the upstream without caching it. Each client has a download of its own. */
  async #passThrough(
    { repo, digest, why }: { repo: string; digest: Digest; why: BypassReason },
    range?: ByteRange,
  ): Promise<OpenedBlob | undefined> {
    const opened = await this.#upstream!.openBlob(repo, digest);
    if (opened === undefined) return undefined;
    const { size, body, host } = opened;
    this.#onEvent({ type: "bypass", repo, digest, size, why });
    const onFailure = (error: unknown) => this.#reportFailure({ repo, digest, size, host }, error);
    try {
      const part = resolveRange(size, range);
      const onBytes = (bytes: number) => this.#onEvent({ type: "received", repo, bytes });
      return { size, ...part, body: verifyStream(body, { digest, size, onFailure, onBytes }, part) };
    } catch (error) {
      await body.cancel();
      throw error;
    }
  }

  #reportFailure(
    { repo, digest, size, host }: { repo: string; digest: Digest; size: number; host: string | undefined },
    error: unknown,
  ): void {
    const why = bypassReasonOf(error);
    if (why === undefined) this.#onEvent({ type: "failed", repo, digest, host, error });
    else this.#onEvent({ type: "bypass", repo, digest, size, why });
  }
}

/** The reason why a blob cannot be cached. */
interface Uncached {
  readonly error: unknown;
  readonly why: BypassReason;
}

const NO_RESERVATION: Disposable = { [Symbol.dispose]() {} };

/** Returns why the store cannot accept content now, so that it is served uncached; `undefined` for any other error. */
export function bypassReasonOf(error: unknown): BypassReason | undefined {
  if (error instanceof NoSpaceError || isNoSpace(error)) return "disk";
  return isNotWritable(error) ? "read-only" : undefined;
}
