import { type ByteRange, resolveRange } from "../bytes/byte_range.ts";
import { drain } from "../bytes/file_stream.ts";
import { type SharedFiles, streamReader } from "../bytes/shared_files.ts";
import type { OpenedBlob } from "../content/source.ts";
import { Verifier } from "../content/verifier.ts";
import { createFolder, removeIfPresent } from "../files/durable.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { absentIfNotFound, listFolder } from "../files/read_if_present.ts";
import { type Digest, isDigest, splitDigest } from "../oci/digest.ts";

/** Options of a `ReadCache`. */
export interface ReadCacheOptions {
  readonly folder: string;
  /** Largest size of all files, in bytes. */
  readonly maxBytes: number;
  readonly files: SharedFiles;
  /** Called once when the folder cannot be written. */
  readonly warn: (message: string) => void;
}

const MAX_FILLS = 4;

/**
 * Copies of blobs of a bucket on the disk, limited in bytes: the least recently used ones are removed. A copy has its name
 * only when its content is verified and synced. Only one process may use a folder.
 */
export class ReadCache {
  readonly #options: ReadCacheOptions;
  /** The sizes of the files, the least recently used first. */
  readonly #sizes: Map<Digest, number>;
  readonly #fills = new Map<Digest, Promise<void>>();
  readonly #aborter = new AbortController();
  #bytes = 0;
  #hasWarned = false;

  private constructor(options: ReadCacheOptions, sizes: Map<Digest, number>) {
    this.#options = options;
    this.#sizes = sizes;
    for (const size of sizes.values()) this.#bytes += size;
  }

  /** Opens a cache with the files that an earlier process left. */
  static async open(options: ReadCacheOptions): Promise<ReadCache> {
    const { folder } = options;
    const found: { digest: Digest; size: number; time: number }[] = [];
    for (const { name } of await listFolder(folder) ?? []) {
      const path = `${folder}/${name}`;
      const digest = name.replace("-", ":");
      const info = await Deno.stat(path).catch(absentIfNotFound);
      if (info === undefined) continue;
      // A copy that was not finished.
      if (!isDigest(digest)) await removeIfPresent(path);
      else found.push({ digest, size: info.size, time: info.mtime?.getTime() ?? 0 });
    }
    found.sort((a, b) => a.time - b.time);
    const cache = new ReadCache(options, new Map(found.map(({ digest, size }) => [digest, size])));
    await cache.#trim();
    return cache;
  }

  /** Opens a blob, or a range of it. @throws {RegistryError} `RANGE_INVALID` when the range lies outside the blob */
  async read(digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined> {
    const size = this.#sizes.get(digest);
    if (size === undefined) return undefined;
    const { start, length } = resolveRange(size, range);
    const file = await Deno.open(this.#pathOf(digest)).catch(absentIfNotFound);
    if (file === undefined) {
      this.#forget(digest);
      return undefined;
    }
    // The most recently used entry is the last one.
    if (this.#sizes.delete(digest)) this.#sizes.set(digest, size);
    const reader = await this.#options.files.open(file, size);
    return { size, start, length, body: streamReader(reader, start, length) };
  }

  /**
   * Copies a blob, unless it is too large, or several others are being copied. Waits for a copy in progress. Failures are reported as a warning.
   *
   * @param open opens its content
   */
  async fill(digest: Digest, size: number, open: () => Promise<ReadableStream<Uint8Array> | undefined>): Promise<void> {
    const running = this.#fills.get(digest);
    if (running !== undefined) return await running;
    const isRefused = this.#sizes.has(digest) || this.#fills.size >= MAX_FILLS;
    if (isRefused || !this.#hasRoom(size) || this.#aborter.signal.aborted) return;
    const filling = this.#fill(digest, size, open).catch((error) => this.#report(error)).finally(() => {
      this.#fills.delete(digest);
    });
    this.#fills.set(digest, filling);
    await filling;
  }

  /** Takes over a verified file, which is moved. Returns false if it is too large. */
  async adopt(digest: Digest, path: string, size: number): Promise<boolean> {
    if (!this.#hasRoom(size)) return false;
    try {
      await createFolder(this.#options.folder);
      await Deno.rename(path, this.#pathOf(digest));
    } catch (error) {
      this.#report(error);
      return false;
    }
    await this.#add(digest, size);
    return true;
  }

  /** Ends the copies in progress. */
  async close(): Promise<void> {
    this.#aborter.abort(new Error("Cannot copy the blob: the server stops"));
    await Promise.all(this.#fills.values());
  }

  async #fill(digest: Digest, size: number, open: () => Promise<ReadableStream<Uint8Array> | undefined>) {
    const body = await open();
    if (body === undefined) return;
    const temporary = `${this.#options.folder}/${crypto.randomUUID()}.tmp`;
    const verifier = new Verifier(digest, size);
    try {
      await createFolder(this.#options.folder);
      using file = await openOwned(temporary, { write: true, createNew: true });
      await drain(body, async (chunk) => {
        this.#aborter.signal.throwIfAborted();
        verifier.update(chunk);
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      });
      verifier.finish();
      await file.syncData();
      await Deno.rename(temporary, this.#pathOf(digest));
    } catch (error) {
      if (!body.locked) await body.cancel(error);
      await removeIfPresent(temporary);
      throw error;
    }
    await this.#add(digest, size);
  }

  // One blob may not push out all others.
  #hasRoom(size: number): boolean {
    return size <= this.#options.maxBytes / 2;
  }

  async #add(digest: Digest, size: number): Promise<void> {
    this.#forget(digest);
    this.#sizes.set(digest, size);
    this.#bytes += size;
    await this.#trim();
  }

  async #trim(): Promise<void> {
    for (const digest of this.#sizes.keys()) {
      if (this.#bytes <= this.#options.maxBytes) return;
      this.#forget(digest);
      // Readers that have it open read it to its end.
      await removeIfPresent(this.#pathOf(digest));
    }
  }

  #forget(digest: Digest): void {
    this.#bytes -= this.#sizes.get(digest) ?? 0;
    this.#sizes.delete(digest);
  }

  #pathOf(digest: Digest): string {
    const { algorithm, hex } = splitDigest(digest);
    return `${this.#options.folder}/${algorithm}-${hex}`;
  }

  #report(error: unknown): void {
    if (this.#hasWarned || this.#aborter.signal.aborted) return;
    this.#hasWarned = true;
    this.#options.warn(
      `Cannot copy a blob of the bucket to the disk: ${(error as Error).message}; it is read from there`,
    );
  }
}
