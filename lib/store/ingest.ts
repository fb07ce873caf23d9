import type { ChunkBudget } from "../bytes/chunk_budget.ts";
import { CHUNK_BYTES, drain } from "../bytes/file_stream.ts";
import type { FileReader, SharedFiles } from "../bytes/shared_files.ts";
import { Verifier } from "../content/verifier.ts";
import { createFolder, removeIfPresent } from "../files/durable.ts";
import { parentOf } from "../files/parent_of.ts";
import { closeLocked, isFileAt, tryLockFile } from "../files/file_lock.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { isNoSpace } from "../files/no_space.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CrpeError, NoSpaceError } from "../oci/error.ts";
import type { PartialHashes } from "./partial_hashes.ts";

/** What an `Ingest` writes, and where. */
export interface IngestOptions {
  readonly digest: Digest;
  /** The files through which the bytes written so far are read. */
  readonly files: SharedFiles;
  /** Expected size in bytes. If it is not known yet, `expectSize` must be called before `commit`. */
  readonly size?: number;
  /** The temporary file, used unless another writer has it locked. Existing content is kept. */
  readonly path: string;
  /** The temporary file used when `path` is locked by another writer. */
  readonly fallbackPath: string;
  /** The hashes of partial files, so that the content of `path` need not be read again. */
  readonly hashes?: PartialHashes;
  /** Moves the verified file to the place of the blob. */
  readonly moveToTarget: (path: string) => Promise<void>;
}

/**
 * A blob that is being written to the store: a temporary file, locked while it is written, and renamed to its final
 * path once size and digest are verified.
 */
export class Ingest {
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #options: IngestOptions;
  #verifier: Verifier;
  #open = true;
  #isVerified = false;
  /** Whether the verifier can hash more, so that a later ingest may continue with it. */
  #isHashing = true;
  #stored = 0;
  /** The last write, and all before it. */
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;

  private constructor(file: Deno.FsFile, path: string, options: IngestOptions) {
    this.#file = file;
    this.path = path;
    this.#options = options;
    this.#verifier = new Verifier(options.digest, options.size);
  }

  /** Opens the temporary file, and resumes from the content that an earlier, interrupted ingest left in it. */
  static async open(options: IngestOptions): Promise<Ingest> {
    await createFolder(parentOf(options.path));
    const own = await openLocked(options.path);
    const ingest = own === undefined
      ? new Ingest(await openNew(options.fallbackPath), options.fallbackPath, options)
      : new Ingest(own, options.path, options);
    try {
      await ingest.#hashExisting();
    } catch (error) {
      ingest.#close();
      throw error;
    }
    return ingest;
  }

  /** Writes a whole blob. Reads `body` to its end or cancels it. @throws {DigestMismatchError} as `commit` */
  static async writeWhole(options: IngestOptions, body: ReadableStream<Uint8Array>): Promise<void> {
    const ingest = await Ingest.open(options).catch(async (error) => {
      await body.cancel(error);
      throw error;
    });
    try {
      await drain(body, (chunk) => ingest.write(chunk));
    } catch (error) {
      await ingest.abort();
      throw error;
    }
    await ingest.commit();
  }

  /** Whether a later ingest can resume from the file: not when it is written to `fallbackPath`. */
  get isResumable(): boolean {
    return this.path === this.#options.path;
  }

  /** Number of bytes passed to `write` or `verify` so far, and of those found in the file. */
  get written(): number {
    return this.#verifier.seen;
  }

  /** Number of bytes in the file so far. */
  get stored(): number {
    return this.#stored;
  }

  /** Sets the expected size in bytes. */
  expectSize(size: number): void {
    this.#verifier.expectSize(size);
  }

  /**
   * Appends a chunk. The caller may reuse the buffer once the promise has resolved, and may append more before that.
   * After a failure no more is written.
   *
   * @throws {DigestMismatchError} when there are more bytes than expected
   * @throws {NoSpaceError} when the disk is full
   */
  async write(chunk: Uint8Array): Promise<void> {
    // The write runs in another thread, so hashing overlaps with it.
    const writing = this.#isWriting ? this.#writing.then(() => this.#append(chunk)) : this.#append(chunk);
    this.#isWriting = true;
    this.#writing = writing;
    // After a failure it stays true, so that the writes to come fail too.
    writing.then(() => this.#isWriting = this.#writing !== writing, () => {});
    try {
      this.#hash(chunk);
    } finally {
      await writing;
    }
  }

  /**
   * Counts and hashes a chunk without writing it, when the disk is full.
   *
   * @throws {DigestMismatchError} when there are more bytes than expected
   */
  verify(chunk: Uint8Array): void {
    this.#hash(chunk);
  }

  /**
   * Checks size and digest of all chunks. May be called before `commit`, which then does not check them again.
   *
   * @throws {DigestMismatchError} when one of them is not as expected
   */
  finishVerify(): void {
    if (this.#isVerified) return;
    this.#isHashing = false;
    this.#verifier.finish();
    this.#isVerified = true;
  }

  /** The memory that readers of files share. */
  get budget(): ChunkBudget {
    return this.#options.files.budget;
  }

  /** Opens a reader of the bytes written so far. @param size size of the whole blob, in bytes */
  async openReader(size: number): Promise<FileReader> {
    return await this.#options.files.open(await Deno.open(this.path), size);
  }

  /**
   * Verifies the content, syncs it, and moves it to its final path.
   *
   * @throws {DigestMismatchError} when size or digest are not as expected; the temporary file is removed
   */
  async commit(): Promise<void> {
    try {
      this.finishVerify();
      await this.#file.syncData();
      await this.#moveToTarget();
      this.#close();
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  /** Closes and removes the temporary file. */
  async abort(): Promise<void> {
    if (!this.#open) return;
    // Removed before the lock is released, or another process could resume a file that is about to be removed.
    if (isFileAt(this.path, this.#file)) await removeIfPresent(this.path);
    this.#close();
  }

  /** Closes the temporary file and keeps it, so that a later ingest can resume from it. */
  keep(): void {
    if (!this.#open) return;
    if (this.isResumable && this.#isHashing) this.#options.hashes?.keep(this.path, this.#file, this.#verifier);
    this.#close();
  }

  #hash(chunk: Uint8Array): void {
    this.#isHashing = false;
    this.#verifier.update(chunk);
    this.#isHashing = true;
  }

  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeLocked(this.#file);
  }

  async #moveToTarget(): Promise<void> {
    const { digest, moveToTarget } = this.#options;
    // Another file may be there: the whole folder may have been replaced by a copy.
    if (!isFileAt(this.path, this.#file)) {
      throw new CrpeError(cannot(`store ${digest}`, "the file that was written is no longer in the data folder"));
    }
    await moveToTarget(this.path);
  }

  async #append(chunk: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < chunk.length;) {
        const count = await this.#file.write(chunk.subarray(at));
        at += count;
        this.#stored += count;
      }
    } catch (cause) {
      if (!isNoSpace(cause)) throw cause;
      throw new NoSpaceError(cannot(`write ${this.#options.digest}`, "no space left on the device"), { cause });
    }
  }

  async #hashExisting(): Promise<void> {
    const { size } = this.#file.statSync();
    if (size === 0) return;
    if (size > (this.#options.size ?? Infinity)) {
      await this.#file.truncate(0);
      return;
    }
    const known = this.isResumable ? this.#options.hashes?.take(this.path, this.#file) : undefined;
    if (known !== undefined) {
      this.#verifier = known;
      this.#verifier.expectSize(this.#options.size);
      await this.#file.seek(0, Deno.SeekMode.End);
      this.#stored = size;
      return;
    }
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (let got = await this.#file.read(buffer); got !== null; got = await this.#file.read(buffer)) {
      this.#verifier.update(buffer.subarray(0, got));
    }
    this.#stored = this.written;
  }
}

// Gives `undefined` when another writer has the file locked.
async function openLocked(path: string): Promise<Deno.FsFile | undefined> {
  const file = await openOwned(path, { read: true, write: true, create: true });
  try {
    if (await tryLockFile(file, path) && isFileAt(path, file)) return file;
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}

async function openNew(path: string): Promise<Deno.FsFile> {
  const file = await openOwned(path, { read: true, write: true, createNew: true });
  try {
    await tryLockFile(file, path);
    return file;
  } catch (error) {
    file.close();
    await removeIfPresent(path);
    throw error;
  }
}
