import { withinTime } from "../bytes/within_time.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import type { IngestStore } from "../store/blob_store.ts";
import type { Ingest } from "../store/ingest.ts";
import { beyondLimit, wrongSize } from "./blob_error.ts";
import { bypassReasonOf } from "./bypass_reason.ts";
import type { BypassReason, CacheEvent } from "./cache_event.ts";
import type { CacheLimit } from "./cache_limit.ts";
import { originOf, type RunningDownloads, type WantedDownload } from "./running_downloads.ts";
import { SharedDownload } from "./shared_download.ts";
import { storeUnsized } from "./store_unsized.ts";
import type { Upstream, UpstreamBlob } from "./upstream.ts";
import { withClaim } from "./with_claim.ts";

/** Options of `BlobDownloads`. */
interface BlobDownloadsOptions {
  readonly store: IngestStore;
  readonly upstream: Upstream;
  /** Receives the downloads that are started. */
  readonly running: RunningDownloads;
  readonly space?: Pick<CacheLimit, "reserve"> | undefined;
  readonly onEvent: (event: CacheEvent) => void;
  /** Called when a download has succeeded or failed. Errors that it throws are passed to `warn`. */
  readonly onEnd: () => Promise<void>;
  readonly warn: (message: string) => void;
}

/** A blob to download for a repository. */
export interface WantedBlob extends WantedDownload {
  /** Whether no client requested it: the download then waits while clients download, and evicts no incomplete image. */
  readonly isBackground?: boolean;
}

/** The reason why a blob cannot be cached. */
export interface Uncached {
  readonly error: unknown;
  readonly why: BypassReason;
}

const NO_RESERVATION: Disposable = { [Symbol.dispose]() {} };
// How long a repository waits for another one of the same registry that has just requested the blob, in milliseconds.
const START_MILLISECONDS = 1000;

/**
 * Starts the downloads. A blob is downloaded once for all concurrent clients of a registry, if its repositories
 * confirm that they have it. Registries do not share downloads, because one that is slow, or sends wrong bytes, must not
 * hold up the clients of another one, and because the answer of a registry gives no right to what another one sent.
 */
export class BlobDownloads {
  readonly #options: BlobDownloadsOptions;
  readonly #starts = new SingleFlight<SharedDownload | Uncached | undefined>();
  // The latest start at a registry, by the registry and the digest.
  readonly #starting = new Map<string, Promise<unknown>>();

  constructor(options: BlobDownloadsOptions) {
    this.#options = options;
  }

  /**
   * Joins or starts the download of a blob.
   *
   * @returns `undefined` when the store has the blob by now, or the upstream does not have it
   * @throws {RegistryError} `BAD_GATEWAY` when the upstream has the blob with another size
   */
  async get(repo: string, blob: WantedBlob): Promise<SharedDownload | Uncached | undefined> {
    const running = this.#options.running.find(repo, blob);
    if (running !== undefined) {
      if (!blob.isBackground) this.#options.onEvent({ type: "shared", repo });
      return running;
    }
    return await this.#starts.run(`${repo} ${blob.digest}`, async () => {
      const key = `${originOf(repo)} ${blob.digest}`;
      const start = this.#startAfter(this.#starting.get(key), repo, blob);
      this.#starting.set(key, start);
      return await start.finally(() => {
        if (this.#starting.get(key) === start) this.#starting.delete(key);
      });
    });
  }

  async #startAfter(
    other: Promise<unknown> | undefined,
    repo: string,
    blob: WantedBlob,
  ): Promise<SharedDownload | Uncached | undefined> {
    if (other !== undefined) await withinTime(other.catch(() => {}), START_MILLISECONDS);
    // Checked again: a download of the same blob may have started or ended in the meantime.
    const held = await this.#options.store.statBlob(repo, blob.digest);
    if (held !== undefined && held === (blob.size ?? held)) return undefined;
    const running = this.#options.running.find(repo, blob) ?? await this.#shareOfRegistry(repo, blob);
    if (running !== undefined) return running === "stored" ? undefined : running;
    const start = () => this.#start(repo, blob);
    // A download in the background pauses for others, while the clients of other replicas would wait for its claim.
    return blob.isBackground
      ? await start()
      : await withClaim(this.#options.store, { repo, digest: blob.digest }, start);
  }

  /**
   * Shares what the registry gave, or is giving, to another one of its repositories, if the upstream confirms with a HEAD
   * that this one has the blob as well. Of what another registry gave, the upstream must send the bytes: a HEAD proves
   * nothing, as everyone can run a registry that confirms anything.
   */
  async #shareOfRegistry(repo: string, blob: WantedBlob): Promise<SharedDownload | "stored" | undefined> {
    const { store, upstream, running: downloads } = this.#options;
    const { digest } = blob;
    if (downloads.findOfRegistry(repo, blob) === undefined && !await store.isHeld(digest)) return undefined;
    if (!await hasBlob(upstream, repo, blob)) return undefined;
    const running = downloads.findOfRegistry(repo, blob);
    if (running !== undefined && !running.download.isCommitting) {
      running.repos.add(repo);
      return running.download;
    }
    await running?.download.done.catch(() => {});
    if (!await store.isGivenBy(originOf(repo), digest)) return undefined;
    // If the link cannot be written, the upstream serves the blob.
    return await store.linkBlob(repo, digest).then(() => "stored" as const, () => undefined);
  }

  async #start(repo: string, blob: WantedBlob): Promise<SharedDownload | Uncached | undefined> {
    const { digest, isBackground = false } = blob;
    const repos = new Set([repo]);
    let ingest: Ingest;
    try {
      ingest = await this.#options.store.openIngest(digest, repos);
    } catch (error) {
      const why = bypassReasonOf(error);
      if (why === undefined) throw error;
      return { error, why };
    }
    const aborter = new AbortController();
    let opened: UpstreamBlob | undefined;
    let reservation: Disposable | undefined;
    try {
      opened = await this.#openRest(repo, blob, { ingest, signal: aborter.signal });
      if (opened?.size !== undefined) reservation = await this.#reserve(opened.size, { digest, isBackground });
    } catch (error) {
      await opened?.body.cancel(error);
      if (ingest.written === 0) await ingest.abort();
      else ingest.keep();
      throw error;
    }
    if (opened === undefined) {
      await ingest.abort();
      return undefined;
    }
    const { size } = opened;
    if (size === undefined) return await this.#store(repo, { ...opened, digest, isBackground }, ingest);
    if (reservation === undefined) {
      await opened.body.cancel();
      await ingest.abort();
      return { error: beyondLimit(repo, digest), why: "limit" };
    }
    const abort = (reason: unknown) => aborter.abort(reason);
    return this.#run(ingest, { ...opened, repo, repos, digest, isBackground, size, abort }, reservation);
  }

  #run(
    ingest: Ingest,
    { repo, repos, digest, isBackground, host, isKept, isFromPeer, ...blob }: UpstreamBlob & {
      repo: string;
      repos: Set<string>;
      digest: Digest;
      isBackground: boolean;
      size: number;
      abort: (reason: unknown) => void;
    },
    reservation: Disposable,
  ): SharedDownload {
    const { store, running, onEvent, onEnd, warn } = this.#options;
    const { size } = blob;
    ingest.expectSize(size);
    onEvent({ type: "download", repo, size });
    const download: SharedDownload = new SharedDownload(ingest, { ...blob, digest }, {
      onBytes: (bytes) => onEvent({ type: "received", repo, bytes }),
      onFailure: (error) => this.reportFailure({ repo, digest, size, host }, error),
      openHeld: (range) => store.openBlob(repo, digest, range),
      ...{ isKept, isFromPeer },
      mustPause: isBackground ? () => running.isBusyExcept(download) : undefined,
    });
    running.add({ repos, download, isBackground });
    const release = () => reservation[Symbol.dispose]();
    download.done.then(release, release).then(() => onEnd()).catch((error) => warn((error as Error).message));
    return download;
  }

  /** Opens the rest of a blob in the upstream, from byte `ingest.written`. */
  async #openRest(
    repo: string,
    { digest, size: expected }: WantedBlob,
    { ingest, signal }: { ingest: Ingest; signal: AbortSignal },
  ): Promise<UpstreamBlob | undefined> {
    const { upstream } = this.#options;
    const start = ingest.written;
    const size = start === 0 ? expected : expected ?? await upstream.statBlob(repo, digest);
    if (start > 0 && size === undefined) return undefined;
    if (size !== undefined && start > 0 && start >= size) {
      return { size, start: size, length: 0, body: ReadableStream.from<Uint8Array>([]) };
    }
    const range = start === 0 ? undefined : { start };
    const opened = await upstream.openBlobWith(repo, digest, { range, size, signal });
    if (opened?.size === undefined || size === undefined || opened.size === size) {
      return opened && { ...opened, size: opened.size ?? size };
    }
    await opened.body.cancel();
    throw wrongSize(repo, digest, { size: opened.size, expected: size });
  }

  async #reserve(bytes: number, { digest, isBackground = false }: Omit<WantedBlob, "size">) {
    const { space } = this.#options;
    return space === undefined ? NO_RESERVATION : await space.reserve(bytes, digest, { isOptional: isBackground });
  }

  /** Stores a blob of unknown size. The clients are then served from the store. */
  async #store(
    repo: string,
    { digest, isBackground, body, host }: UpstreamBlob & Omit<WantedBlob, "size">,
    ingest: Ingest,
  ): Promise<undefined> {
    const { onEvent, onEnd } = this.#options;
    onEvent({ type: "download", repo, size: 0 });
    try {
      await storeUnsized(ingest, {
        body,
        onBytes: (bytes) => onEvent({ type: "received", repo, bytes }),
        reserve: (bytes) => this.#reserve(bytes, { digest, isBackground }),
        noSpace: () => beyondLimit(repo, digest),
      });
    } catch (cause) {
      this.reportFailure({ repo, digest, size: 0, host }, cause);
      if (bypassReasonOf(cause) === undefined) throw cause;
      const reason = "its size is unknown, and there is no space to store it first";
      throw new RegistryError("UNAVAILABLE", cannot(`serve ${digest} of ${repo}`, reason), { cause });
    }
    await onEnd();
  }

  /** Reports that the bytes of a blob could not be received, or not be cached. */
  reportFailure(
    { repo, digest, size, host }: { repo: string; digest: Digest; size: number; host: string | undefined },
    error: unknown,
  ): void {
    const why = bypassReasonOf(error);
    if (why === undefined) this.#options.onEvent({ type: "failed", repo, digest, host, error });
    else this.#options.onEvent({ type: "bypass", repo, digest, size, why });
  }
}

/** Reports whether the upstream confirms that a repository has a blob. An answer without a size confirms nothing. */
async function hasBlob(upstream: Upstream, repo: string, { digest, size }: WantedBlob): Promise<boolean> {
  try {
    const found = await upstream.statBlob(repo, digest);
    return found !== undefined && found === (size ?? found);
  } catch (error) {
    const isUndecided = error instanceof RegistryError && ["BAD_GATEWAY", "DENIED"].includes(error.code);
    if (isUndecided) return false;
    throw error;
  }
}
