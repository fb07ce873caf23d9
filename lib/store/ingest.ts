import { CHUNK_BYTES } from "../bytes/file_stream.ts";
import { Verifier } from "../content/verifier.ts";
import { commitFile, createFolder, parentOf, removeIfPresent } from "../files/durable.ts";
import { isFileAt, tryLockFile } from "../files/file_lock.ts";
import { isNoSpace } from "../files/no_space.ts";
import type { Digest } from "../oci/digest.ts";
import { NoSpaceError } from "../oci/error.ts";

/** What is to be written, and where. */
export interface IngestOptions {
  readonly digest: Digest;
  /** Expected number of bytes; where it is not known yet, `expectSize` has to be called before the end. */
  readonly size?: number;
  /** The temporary file that is used if nobody else has it; what it holds already is kept. */
  readonly path: string;
  /** A name for the temporary file where `path` is another process's. */
  readonly fallbackPath: string;
  /** Where the content goes when it is complete. */
  readonly target: string;
}

/**
 * A blob on its way into the store: a temporary file, locked as long as it is being written, which gets the name of
 * its digest when size and digest are right.
 */
export class Ingest {
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #options: IngestOptions;
  readonly #verifier: Verifier;
  #open = true;

  private constructor(file: Deno.FsFile, path: string, options: IngestOptions) {
    this.#file = file;
    this.path = path;
    this.#options = options;
    this.#verifier = new Verifier(options.digest, options.size);
  }

  /** Opens the temporary file, and takes up what an earlier, interrupted try left in it. */
  static async open(options: IngestOptions): Promise<Ingest> {
    await createFolder(parentOf(options.path));
    const own = await openLocked(options.path);
    const ingest = own === undefined
      ? new Ingest(await openNew(options.fallbackPath), options.fallbackPath, options)
      : new Ingest(own, options.path, options);
    try {
      await ingest.#takeUp();
    } catch (error) {
      ingest.keep();
      throw error;
    }
    return ingest;
  }

  /** Whether it is written where the next try will look for it: not where somebody else is writing the same. */
  get isResumable(): boolean {
    return this.path === this.#options.path;
  }

  /** How many bytes are in the file. */
  get written(): number {
    return this.#verifier.seen;
  }

  /** Says how many bytes there have to be in the end. */
  expectSize(size: number): void {
    this.#verifier.expectSize(size);
  }

  /**
   * Appends a chunk, which may be changed once the promise has resolved.
   *
   * @throws {DigestMismatchError} when there are more bytes than expected
   * @throws {NoSpaceError} when the disk is full
   */
  async write(chunk: Uint8Array): Promise<void> {
    // The file system works in a thread of its own; hashing is what there is to do here meanwhile.
    const writing = this.#append(chunk);
    writing.catch(() => {});
    this.#verifier.update(chunk);
    await writing;
  }

  /** Counts and hashes a chunk that there is no room for. @throws {DigestMismatchError} as `write` */
  verify(chunk: Uint8Array): void {
    this.#verifier.update(chunk);
  }

  /** Tells whether all chunks together were the right ones. @throws {DigestMismatchError} */
  finishVerify(): void {
    this.#verifier.finish();
  }

  /** Another handle on the bytes written so far. */
  openReader(): Promise<Deno.FsFile> {
    return Deno.open(this.path);
  }

  /**
   * Verifies what was written and puts it into its place.
   *
   * @throws {DigestMismatchError} when it is not what was expected; the temporary file is removed
   */
  async commit(): Promise<void> {
    try {
      this.#verifier.finish();
      await this.#file.syncData();
      await commitFile(this.path, this.#options.target);
      this.keep();
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  /** Gives up; nothing remains. */
  async abort(): Promise<void> {
    if (!this.#open) return;
    // Removed before the lock goes, or another process could take up a file that is about to vanish.
    await removeIfPresent(this.path);
    this.keep();
  }

  /** Stops writing; what is in the file can be taken up later. */
  keep(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#file.close();
  }

  async #append(chunk: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < chunk.length;) at += await this.#file.write(chunk.subarray(at));
    } catch (cause) {
      if (!isNoSpace(cause)) throw cause;
      throw new NoSpaceError(`Cannot write ${this.#options.digest}: no space left on the device`, { cause });
    }
  }

  async #takeUp(): Promise<void> {
    if ((await this.#file.stat()).size > (this.#options.size ?? Infinity)) {
      await this.#file.truncate(0);
      return;
    }
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (let got = await this.#file.read(buffer); got !== null; got = await this.#file.read(buffer)) {
      this.#verifier.update(buffer.subarray(0, got));
    }
  }
}

// undefined: somebody else is writing it.
async function openLocked(path: string): Promise<Deno.FsFile | undefined> {
  const file = await Deno.open(path, { read: true, write: true, create: true });
  try {
    if (await tryLockFile(file) && await isFileAt(path, file)) return file;
  } catch (error) {
    file.close();
    throw error;
  }
  file.close();
  return undefined;
}

async function openNew(path: string): Promise<Deno.FsFile> {
  const file = await Deno.open(path, { read: true, write: true, createNew: true });
  await tryLockFile(file);
  return file;
}
