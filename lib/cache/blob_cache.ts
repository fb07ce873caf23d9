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
import { Download } from "./shared_download.ts";
import type { Upstream, UpstreamBlob } from "./upstream.ts";
import { verifyStream } from "./verifying_stream.ts";

/** Keeps a store within a size. */
export interface RoomKeeper {
  /**
   * Makes room; `undefined`: there is none to be had. Disposed of when the blob is in its place or given up.
   *
   * @param digest the blob that it is for: what else belongs to its image stays
   */
  reserve(bytes: number, digest?: Digest): Promise<Disposable | undefined>;
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
  | {
    readonly type: "bypass";
    readonly repo: string;
    readonly digest: Digest;
    readonly size: number;
    readonly why: BypassReason;
  }
  /** A blob did not come as a whole, or came wrong. `host` sent it. */
  | {
    readonly type: "failed";
    readonly repo: string;
    readonly digest: Digest;
    readonly host: string | undefined;
    readonly error: unknown;
  };

/** Why something is not kept: the disk is full, the limit of the store is reached, or the store cannot be written. */
export type BypassReason = "disk" | "limit" | "read-only";

/** What a `BlobCache` is made of. */
export interface BlobCacheOptions {
  readonly store: IngestStore;
  readonly upstream?: Upstream | undefined;
  readonly room?: RoomKeeper | undefined;
  readonly onEvent?: (event: CacheEvent) => void;
  /** Called when a blob has come into the store. What it throws goes to `warn`. */
  readonly onKept: () => Promise<void>;
  readonly warn?: (message: string) => void;
}

/** The blobs of a store, and those that an upstream has: each comes once for all that ask, and is kept. */
export class BlobCache {
  readonly #store: IngestStore;
  readonly #upstream: Upstream | undefined;
  readonly #room: RoomKeeper | undefined;
  readonly #onEvent: (event: CacheEvent) => void;
  readonly #onKept: () => Promise<void>;
  readonly #warn: (message: string) => void;
  readonly #starts = new SingleFlight<Download | Uncached | undefined>();
  readonly #downloads = new Map<Digest, Download>();

  constructor(options: BlobCacheOptions) {
    this.#store = options.store;
    this.#upstream = options.upstream;
    this.#room = options.room;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#onKept = options.onKept;
    this.#warn = options.warn ?? (() => {});
  }

  /** Whether a blob is being downloaded. */
  isDownloading(digest: Digest): boolean {
    return this.#downloads.has(digest);
  }

  /** The size of a blob in bytes. */
  async stat(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#store.statBlob(repo, digest) ?? this.#downloads.get(digest)?.size ??
      await this.#upstream?.statBlob(repo, digest);
  }

  /** As `ContentSource.openBlob`: from the store, else from a download that all who ask share. */
  async open(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const held = await this.#store.openBlob(repo, digest, range);
    if (held !== undefined || this.#upstream === undefined) return held;
    const download = await this.#download(repo, digest);
    const followed = download instanceof Download ? await download.follow(range) : undefined;
    if (followed !== undefined) return followed;
    // What cannot be followed has moved into the store meanwhile, or there is no room for it.
    const kept = await this.#store.openBlob(repo, digest, range);
    if (kept !== undefined || download === undefined) return kept;
    return await this.#passThrough({ repo, digest, why: download instanceof Download ? "disk" : download.why }, range);
  }

  /**
   * Brings a blob into the store, if it is not there in its size.
   *
   * @param onProgress told how many of its bytes have come
   * @throws {RegistryError} when nobody has it
   * @throws {NoSpaceError} when there is no room for it
   */
  async fetch(
    repo: string,
    { digest, size }: { digest: Digest; size: number },
    onProgress: (bytes: number) => void = () => {},
  ): Promise<void> {
    const isHeld = async () => await this.#store.statBlob(repo, digest) === size;
    // A second time where the first went on from what an earlier try had left, and that was damaged.
    for (let tries = 1; !await isHeld() && this.#upstream !== undefined; tries++) {
      const download = await this.#download(repo, digest, size);
      if (download !== undefined && !(download instanceof Download)) throw download.error;
      try {
        await download?.watch(onProgress);
        break;
      } catch (error) {
        if (!(error instanceof DigestMismatchError) || !download?.isResumed || tries > 1) throw error;
      }
    }
    if (!await isHeld()) throw new RegistryError("BLOB_UNKNOWN", `Cannot find blob ${digest} of ${repo}`);
    await this.#store.linkBlob(repo, digest);
  }

  /** @param size what the blob must have; a file of another size is no reason not to download it */
  async #download(repo: string, digest: Digest, size?: number): Promise<Download | Uncached | undefined> {
    const running = this.#downloads.get(digest);
    if (running !== undefined) {
      this.#onEvent({ type: "shared", repo });
      return running;
    }
    return await this.#starts.run(digest, async () => {
      // Between the look into the store and now, a download of the same blob may have ended.
      const held = await this.#store.statBlob(repo, digest);
      if (held !== undefined && held === (size ?? held)) return undefined;
      return this.#downloads.get(digest) ?? await this.#startDownload(repo, digest);
    });
  }

  async #startDownload(repo: string, digest: Digest): Promise<Download | Uncached | undefined> {
    let ingest: Ingest;
    try {
      ingest = await this.#store.openIngest(digest);
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
        reservation = this.#room === undefined ? NO_RESERVATION : await this.#room.reserve(opened.size, digest);
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
      const error = new NoSpaceError(`Cannot keep ${digest} of ${repo}: there is no room for it within the limit`);
      return { error, why: "limit" };
    }
    return this.#follow(repo, ingest, { digest, ...opened }, reservation);
  }

  #follow(
    repo: string,
    ingest: Ingest,
    { digest, size, body, host }: UpstreamBlob & { digest: Digest },
    reservation: Disposable,
  ): Download {
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
    download.done.catch((error) => this.#reportFailure({ repo, digest, size, host }, error));
    download.done.then(forget, forget).then(() => this.#onKept()).catch((error) => {
      this.#warn((error as Error).message);
    });
    return download;
  }

  /** The rest of a blob, of which `ingest` has the beginning. */
  async #openFrom(repo: string, digest: Digest, ingest: Ingest): Promise<UpstreamBlob | undefined> {
    if (ingest.written === 0) return await this.#upstream!.openBlob(repo, digest);
    const size = await this.#upstream!.statBlob(repo, digest);
    if (size === undefined) return undefined;
    if (ingest.written < size) return await this.#upstream!.openBlob(repo, digest, { start: ingest.written });
    return { size, start: size, length: 0, body: ReadableStream.from([]) };
  }

  /** Gives a blob on without keeping it: a download for each client. */
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

/** Says that a blob cannot be kept. */
interface Uncached {
  readonly error: unknown;
  readonly why: BypassReason;
}

const NO_RESERVATION: Disposable = { [Symbol.dispose]() {} };

/** Why the store cannot take anything now, which is no reason not to serve; `undefined` for any other error. */
export function bypassReasonOf(error: unknown): BypassReason | undefined {
  if (error instanceof NoSpaceError || isNoSpace(error)) return "disk";
  return isNotWritable(error) ? "read-only" : undefined;
}
