import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { prependChunks } from "../bytes/prepend_chunks.ts";
import type { OpenedBlob } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { wrongSize } from "./blob_error.ts";
import { BlobDownloads, type Uncached, type WantedBlob } from "./blob_downloads.ts";
import { bypassReasonOf } from "./bypass_reason.ts";
import type { BypassReason, CacheEvent } from "./cache_event.ts";
import type { CacheLimit } from "./cache_limit.ts";
import { DistantRanges } from "./distant_ranges.ts";
import { KnownBlobs } from "./known_blobs.ts";
import { START_BYTES } from "./received_bytes.ts";
import { type RunningDownload, RunningDownloads } from "./running_downloads.ts";
import { SharedDownload } from "./shared_download.ts";
import type { Upstream } from "./upstream.ts";
import { verifyStream } from "./verifying_stream.ts";

/** Options of a `BlobCache`. */
interface BlobCacheOptions {
  readonly store: IngestStore;
  readonly upstream?: Upstream | undefined;
  readonly space?: Pick<CacheLimit, "reserve"> | undefined;
  readonly onEvent?: (event: CacheEvent) => void;
  /** Called when a download has succeeded or failed. Errors that it throws are passed to `warn`. */
  readonly onDownloadEnd: () => Promise<void>;
  readonly warn?: (message: string) => void;
}

/** A blob of a repository, and the size that its manifests state. */
interface RepositoryBlob {
  readonly repo: string;
  readonly digest: Digest;
  readonly size: number | undefined;
}

/**
 * The blobs of a store and its upstream. A blob is downloaded once for all concurrent clients of a registry, and cached.
 */
export class BlobCache {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #onEvent: (event: CacheEvent) => void;
  readonly #known: KnownBlobs;
  readonly #running: RunningDownloads;
  readonly #downloads: BlobDownloads | undefined;
  readonly #ranges: DistantRanges | undefined;

  constructor(options: BlobCacheOptions) {
    const { store, upstream, space, onEvent = () => {}, onDownloadEnd, warn = () => {} } = options;
    this.#store = store;
    this.#upstream = upstream;
    this.#onEvent = onEvent;
    this.#known = new KnownBlobs(store);
    const running = this.#running = new RunningDownloads(store);
    if (upstream === undefined) return;
    this.#downloads = new BlobDownloads({ store, upstream, running, space, onEvent, onEnd: onDownloadEnd, warn });
    this.#ranges = new DistantRanges(upstream, onEvent);
  }

  /** Lists the downloads in progress. */
  listDownloads(): RunningDownload[] {
    return this.#running.list();
  }

  /** Reports whether a download of a blob is in progress. */
  isDownloading(digest: Digest): boolean {
    return this.#running.has(digest);
  }

  /** Whether clients download blobs. */
  get isBusy(): boolean {
    return this.#running.isBusyExcept(undefined);
  }

  /** Records the sizes of the blobs of a manifest, and stores the blobs that its descriptors carry. */
  async learn(repo: string, bytes: Uint8Array): Promise<void> {
    for (const { digest, data } of this.#known.learn(repo, bytes)) await this.#keepInline(repo, digest, data);
  }

  /** Returns the size of a blob in bytes; `undefined` if neither the store nor the upstream has it. */
  async stat(repo: string, digest: Digest): Promise<number | undefined> {
    const held = await this.#store.statBlob(repo, digest);
    if (held !== undefined) return held;
    const known = await this.#known.find(repo, digest);
    const size = known?.data?.length ?? this.#running.find(repo, { digest, size: known?.size })?.size;
    if (size !== undefined || this.#upstream === undefined) return size;
    return await this.#statUpstream({ repo, digest, size: known?.size });
  }

  /** Implements `ContentSource.openBlob`: opens a blob in the store, or follows the shared download of it. */
  async open(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const held = await this.#store.openBlob(repo, digest, range);
    if (held !== undefined) return held;
    const known = await this.#known.find(repo, digest);
    if (known?.data !== undefined) return await this.#openInline({ repo, digest, data: known.data }, range);
    if (this.#downloads === undefined) return undefined;
    const blob = { repo, digest, size: known?.size };
    for (let attempt = 1;; attempt++) {
      const outcome = this.#running.find(repo, blob) === undefined ? "miss" : "shared";
      const download = await this.#downloads.get(repo, blob);
      try {
        const opened = await this.#openFrom(download, blob, range);
        return opened && { ...opened, outcome };
      } catch (error) {
        // Another download may have committed the blob, while this one failed.
        const kept = await this.#store.openBlob(repo, digest, range);
        if (kept !== undefined) return kept;
        if (attempt > 1 || !await isWorthRetry(error, download)) throw error;
      }
    }
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
    blob: WantedBlob & { size: number },
    onProgress: (bytes: number) => void = () => {},
  ): Promise<void> {
    if (!await this.#fetch(repo, blob, onProgress)) {
      throw new RegistryError("BLOB_UNKNOWN", cannot(`find blob ${blob.digest} of ${repo}`));
    }
    await this.#store.linkBlob(repo, blob.digest);
  }

  // The store is asked once whether it has the blob: a collection may move the blob aside after that, until it has seen the
  // manifest.
  async #fetch(
    repo: string,
    blob: WantedBlob & { size: number },
    onProgress: (bytes: number) => void,
  ): Promise<boolean> {
    const isHeld = async () => await this.#store.statBlob(repo, blob.digest) === blob.size;
    if (await isHeld()) return true;
    const data = (await this.#known.find(repo, blob.digest))?.data;
    if (data !== undefined) await this.#keepInline(repo, blob.digest, data);
    // A download that resumed from a corrupt partial file, or from a peer, is retried once, from the start; so is one whose
    // blob was moved aside when it was committed.
    for (let attempt = 1;; attempt++) {
      if (await isHeld()) return true;
      if (attempt > 2) return false;
      const download = await this.#downloads?.get(repo, blob);
      if (download === undefined) return await isHeld();
      if (!(download instanceof SharedDownload)) throw download.error;
      try {
        await download.watch(onProgress);
      } catch (error) {
        if (download.isCancelled && await isHeld()) return true;
        if (attempt > 1 || !await isWorthRetry(error, download)) throw error;
      }
    }
  }

  /** See `RunningDownloads.stop`. */
  async stop(): Promise<void> {
    await this.#running.stop();
  }

  async #statUpstream({ repo, digest, size: expected }: RepositoryBlob): Promise<number | undefined> {
    try {
      const size = await this.#upstream!.statBlob(repo, digest);
      if (size === undefined || size === (expected ?? size)) return size;
    } catch (error) {
      const isUndecided = error instanceof RegistryError && error.code === "BAD_GATEWAY" && expected !== undefined;
      if (!isUndecided) throw error;
    }
    // The upstream states no size, or another one. Some state a wrong one only without the content.
    const opened = await this.open(repo, digest);
    await opened?.body.cancel();
    return opened?.size;
  }

  async #openFrom(
    download: SharedDownload | Uncached | undefined,
    blob: RepositoryBlob,
    range: ByteRange | undefined,
  ): Promise<OpenedBlob | undefined> {
    const { repo, digest } = blob;
    if (download instanceof SharedDownload) {
      const opened = await this.#ranges!.open(repo, download, range) ?? await download.follow(range);
      if (opened !== undefined) return opened;
    }
    // A download that cannot be followed has been committed to the store in the meantime, or has no space.
    const kept = await this.#store.openBlob(repo, digest, range);
    if (kept !== undefined || download === undefined) return kept;
    return await this.#passThrough(blob, download instanceof SharedDownload ? "disk" : download.why, range);
  }

  /** Serves a blob from the upstream without caching it. Each client has a download of its own. */
  async #passThrough(
    { repo, digest, size: expected }: RepositoryBlob,
    why: BypassReason,
    range: ByteRange | undefined,
  ): Promise<OpenedBlob | undefined> {
    const opened = await this.#upstream!.openBlobWith(repo, digest, { size: expected });
    if (opened === undefined) return undefined;
    const { body, host } = opened;
    try {
      const size = opened.size ?? expected;
      if (size === undefined) {
        throw new RegistryError(
          "BAD_GATEWAY",
          cannot(`serve ${digest} of ${repo}`, "the upstream does not state its size"),
        );
      }
      if (size !== (expected ?? size)) throw wrongSize(repo, digest, { size, expected: expected! });
      this.#onEvent({ type: "bypass", repo, digest, size, why });
      const onFailure = (error: unknown) => this.#downloads!.reportFailure({ repo, digest, size, host }, error);
      const part = resolveRange(size, range);
      const onBytes = (bytes: number) => this.#onEvent({ type: "received", repo, bytes });
      const verified = verifyStream(body, { digest, size, onFailure, onBytes }, part);
      return { size, ...part, body: range === undefined ? await waitForStart(verified) : verified };
    } catch (error) {
      if (!body.locked) await body.cancel();
      throw error;
    }
  }

  async #openInline(
    { repo, digest, data }: { repo: string; digest: Digest; data: Uint8Array<ArrayBuffer> },
    range: ByteRange | undefined,
  ): Promise<OpenedBlob> {
    await this.#keepInline(repo, digest, data);
    const { start, length } = resolveRange(data.length, range);
    return { size: data.length, start, length, body: ReadableStream.from([data.subarray(start, start + length)]) };
  }

  async #keepInline(repo: string, digest: Digest, data: Uint8Array<ArrayBuffer>): Promise<void> {
    try {
      const descriptor = { mediaType: "application/octet-stream", digest, size: data.length };
      await this.#store.writeBlob(repo, descriptor, ReadableStream.from([data]));
    } catch (error) {
      // It can be served without being stored.
      if (bypassReasonOf(error) === undefined) throw error;
    }
  }
}

// Waits until the failed download is no longer in progress, so that the next attempt does not join it.
async function isWorthRetry(error: unknown, download: SharedDownload | Uncached | undefined): Promise<boolean> {
  if (!(error instanceof DigestMismatchError) || !(download instanceof SharedDownload)) return false;
  await download.done.catch(() => {});
  return download.isUnproven;
}

/** Waits for the first bytes of a stream, so that a stream that fails early is an error and not the start of a response. */
async function waitForStart(stream: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  for (let seen = 0; seen < START_BYTES;) {
    const { value } = await reader.read();
    if (value === undefined) break;
    chunks.push(value);
    seen += value.length;
  }
  return prependChunks(chunks, reader);
}
