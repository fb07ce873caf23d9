import type { Digest } from "../oci/digest.ts";
import { NoSpaceError, RegistryError } from "../oci/error.ts";
import { isNotWritable } from "./data_folder.ts";
import type { IngestStore } from "./ingest_store.ts";
import { Download } from "./download.ts";
import { type Ingest, isNoSpace } from "./ingest.ts";
import { SingleFlight } from "./single_flight.ts";
import { type ByteRange, type OpenedBlob, resolveRange } from "./source.ts";
import type { Upstream } from "./upstream.ts";
import { verifyStream } from "./verified_stream.ts";
import { DigestMismatchError } from "./verify.ts";

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
  | { readonly type: "unkept"; readonly repo: string };

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
  readonly #starts = new SingleFlight<Download | Unkept | undefined>();
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
    return await this.#store.openBlob(repo, digest, range) ??
      (download === undefined ? undefined : await this.#passThrough(repo, digest, range));
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
      if (download !== undefined && !(download instanceof Download)) throw download.reason;
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
  async #download(repo: string, digest: Digest, size?: number): Promise<Download | Unkept | undefined> {
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

  async #startDownload(repo: string, digest: Digest): Promise<Download | Unkept | undefined> {
    let ingest: Ingest;
    try {
      ingest = await this.#store.openIngest(digest);
    } catch (reason) {
      if (!isUnkeepable(reason)) throw reason;
      return { reason };
    }
    let opened: OpenedBlob | undefined;
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
      return { reason: new NoSpaceError(`Cannot keep ${digest} of ${repo}: there is no room for it within the limit`) };
    }
    return this.#follow(repo, ingest, { digest, ...opened }, reservation);
  }

  #follow(
    repo: string,
    ingest: Ingest,
    { digest, size, body }: OpenedBlob & { digest: Digest },
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
    download.done.then(forget, forget).then(() => this.#onKept()).catch((error) => {
      this.#warn((error as Error).message);
    });
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
}

/** Why a blob is not kept. */
interface Unkept {
  readonly reason: unknown;
}

const NO_RESERVATION: Disposable = { [Symbol.dispose]() {} };

/** Tells whether the store cannot take anything now, which is no reason not to serve. */
export function isUnkeepable(error: unknown): boolean {
  return error instanceof NoSpaceError || isNoSpace(error) || isNotWritable(error);
}
