import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import type { SharedFiles } from "../bytes/shared_files.ts";
import type { BlobCopies, CopiedBlob } from "../content/blob_copies.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { OpenedBlob } from "../content/source.ts";
import { createFolder, removeIfPresent } from "../files/durable.ts";
import { closeLocked, lockFile } from "../files/file_lock.ts";
import { ifPresent } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { HeldBlobs } from "../store/held_blobs.ts";
import { Ingest } from "../store/ingest.ts";
import { blobPath, INGEST, partialPath } from "../store/layout.ts";
import { listBlobs } from "../store/store_scan.ts";
import { SharedDownload } from "./shared_download.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** Options of `LocalCopies`. */
interface LocalCopiesOptions {
  /** The folder of the copies. One process at a time uses it. */
  readonly folder: string;
  readonly files: SharedFiles;
  /** How much the copies may take together, in bytes. */
  readonly maxBytes: number;
  /** Called with a message when a blob cannot be copied; it is served all the same. */
  readonly warn: (message: string) => void;
}

interface Copy {
  readonly size: number;
  /** Whether this process has hashed it. One of an earlier process is hashed before it is used. */
  isVerified: boolean;
}

/** A range that begins this far after what was received is read from the bucket. In bytes. */
const MAX_AHEAD = 4 * 1024 * 1024;

/**
 * Copies of a bucket's blobs on the local disk, the least recently used of which go first. A blob is read from the bucket
 * once for all clients that want it at the same time, and verified on the way.
 */
export class LocalCopies implements BlobCopies {
  readonly #options: LocalCopiesOptions;
  readonly #lock: Deno.FsFile;
  readonly #blobs: HeldBlobs;
  /** The copies, the least recently used first. */
  readonly #copies = new Map<Digest, Copy>();
  readonly #running = new Map<Digest, SharedDownload>();
  readonly #starts = new SingleFlight<SharedDownload | undefined>();
  /** Bytes of the copies, and of those that are being made. */
  #bytes = 0;

  private constructor(options: LocalCopiesOptions, lock: Deno.FsFile) {
    const { folder: root, files, warn } = options;
    this.#options = options;
    this.#lock = lock;
    // A corrupt copy is removed, not moved to a quarantine, which would grow.
    this.#blobs = new HeldBlobs({ root, files, warn, cacheBytes: 0, isReadOnly: true });
  }

  /** Opens the copies that an earlier process has left; `undefined` when another process uses them. */
  static async open(options: LocalCopiesOptions): Promise<LocalCopies | undefined> {
    const { folder } = options;
    await createFolder(folder, { isSynced: false });
    const lock = await Deno.open(`${folder}/lock`, { write: true, create: true });
    if (await lockFile(lock, `${folder}/lock`) === "taken") {
      lock.close();
      return undefined;
    }
    const copies = new LocalCopies(options, lock);
    await copies.#readFolder();
    copies.#makeRoom(0);
    return copies;
  }

  /** Leaves the copies to the next process. */
  [Symbol.dispose](): void {
    closeLocked(this.#lock);
  }

  /** How much the copies take together, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How much they may take together, in bytes. */
  get maxBytes(): number {
    return this.#options.maxBytes;
  }

  /** Whether blobs are being copied. */
  get isCopying(): boolean {
    return this.#running.size > 0;
  }

  async open(blob: CopiedBlob): Promise<OpenedBlob | undefined> {
    const { digest, size, range } = blob;
    const held = await this.#openCopy(digest, range);
    if (held !== undefined) return held;
    const { start } = resolveRange(size, range);
    const running = this.#running.get(digest);
    const download = running !== undefined && !running.hasFailed
      ? running
      : (range === undefined ? await this.#starts.run(digest, () => this.#start(blob)) : undefined);
    if (download === undefined || start > download.received + MAX_AHEAD) return undefined;
    return await download.follow(range) ?? await this.#openCopy(digest, range);
  }

  async adopt(path: string, { digest, size }: { readonly digest: Digest; readonly size: number }): Promise<boolean> {
    if (this.#copies.has(digest) || this.#running.has(digest) || !this.#makeRoom(size)) return false;
    this.#bytes += size;
    try {
      await this.#move(path, digest, size);
      return true;
    } catch (error) {
      this.#bytes -= size;
      this.#options.warn(`Cannot keep a copy of ${digest}: ${describeSystemError(error)}`);
      return false;
    }
  }

  async #openCopy(digest: Digest, range: ByteRange | undefined): Promise<OpenedBlob | undefined> {
    const copy = this.#copies.get(digest);
    if (copy === undefined) return undefined;
    const opened = await this.#openFile(digest, copy, range);
    if (opened?.size === copy.size) {
      this.#copies.delete(digest);
      this.#copies.set(digest, copy);
      return opened;
    }
    // The file was changed or removed.
    await opened?.body.cancel();
    if (this.#copies.get(digest) === copy) this.#remove(digest, copy);
    return undefined;
  }

  async #openFile(digest: Digest, copy: Copy, range: ByteRange | undefined): Promise<OpenedBlob | undefined> {
    try {
      if (!copy.isVerified) copy.isVerified = await this.#blobs.check(digest) === "intact";
      return copy.isVerified ? await this.#blobs.open(digest, range) : undefined;
    } catch (error) {
      if (error instanceof RegistryError && error.code === "RANGE_INVALID") throw error;
      this.#options.warn(`Cannot use the copy of ${digest}: ${describeSystemError(error)}`);
      return undefined;
    }
  }

  async #start({ digest, size, openSource }: CopiedBlob): Promise<SharedDownload | undefined> {
    if (this.#copies.has(digest) || !this.#makeRoom(size)) return undefined;
    // Counted before the first byte, so that several at once keep the limit.
    this.#bytes += size;
    let ingest: Ingest | undefined;
    try {
      ingest = await this.#openIngest(digest, size);
      const source = await openSource();
      if (source !== undefined) return this.#run(ingest, { digest, size, body: source.body });
      await ingest.abort();
    } catch (error) {
      await ingest?.abort();
      this.#bytes -= size;
      if (ingest !== undefined) throw error;
      this.#options.warn(`Cannot keep a copy of ${digest}: ${describeSystemError(error)}`);
      return undefined;
    }
    this.#bytes -= size;
    return undefined;
  }

  #run(
    ingest: Ingest,
    { digest, size, body }: {
      readonly digest: Digest;
      readonly size: number;
      readonly body: ReadableStream<Uint8Array>;
    },
  ): SharedDownload {
    const download = new SharedDownload(ingest, { digest, size, body, abort: () => {} }, {
      isKept: false,
      onBytes: () => {},
      onFailure: (error) => this.#options.warn(`Cannot copy ${digest} from the bucket: ${describeSystemError(error)}`),
      openHeld: async (range) => await this.#openCopy(digest, range),
    });
    this.#running.set(digest, download);
    // Without a copy too if the disk was full.
    download.done.catch(() => this.#bytes -= size).then(() => {
      if (this.#running.get(digest) === download) this.#running.delete(digest);
    });
    return download;
  }

  #openIngest(digest: Digest, size: number): Promise<Ingest> {
    const { folder, files } = this.#options;
    return Ingest.open({
      ...{ digest, size, files },
      path: `${folder}/${partialPath(digest)}`,
      fallbackPath: `${folder}/${partialPath(digest)}.${crypto.randomUUID()}`,
      moveToTarget: (path) => this.#move(path, digest, size),
    });
  }

  /** Gives a verified file its place. */
  async #move(path: string, digest: Digest, size: number): Promise<void> {
    const target = `${this.#options.folder}/${blobPath(digest)}`;
    await createFolder(parentOf(target), { isSynced: false });
    await Deno.rename(path, target);
    // Each of two that were made at once has been counted.
    if (this.#copies.has(digest)) this.#bytes -= size;
    this.#copies.set(digest, { size, isVerified: true });
  }

  /** Removes the least recently used copies until there is room. @returns false when there cannot be */
  #makeRoom(size: number): boolean {
    const { maxBytes } = this.#options;
    if (size > maxBytes) return false;
    for (const [digest, copy] of this.#copies) {
      if (this.#bytes + size <= maxBytes) break;
      this.#remove(digest, copy);
    }
    return this.#bytes + size <= maxBytes;
  }

  /** Readers of the file keep it until they have ended. */
  #remove(digest: Digest, { size }: Copy): void {
    this.#copies.delete(digest);
    this.#bytes -= size;
    removeIfPresent(`${this.#options.folder}/${blobPath(digest)}`).catch((error) => {
      this.#options.warn(`Cannot remove the copy of ${digest}: ${describeSystemError(error)}`);
    });
  }

  async #readFolder(): Promise<void> {
    const { folder } = this.#options;
    const found: { digest: Digest; size: number; time: number }[] = [];
    for await (const digest of listBlobs(folder)) {
      const file = await ifPresent(Deno.stat(`${folder}/${blobPath(digest)}`));
      if (file !== undefined) found.push({ digest, size: file.size, time: file.mtime?.getTime() ?? 0 });
    }
    for (const { digest, size } of found.sort((a, b) => a.time - b.time)) {
      this.#copies.set(digest, { size, isVerified: false });
      this.#bytes += size;
    }
    // What was begun is not worth more than the request that needed it.
    await ifPresent(Deno.remove(`${folder}/${INGEST}`, { recursive: true }));
  }
}
