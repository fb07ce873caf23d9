import { CHUNK_BYTES } from "../bytes/file_stream.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import { createFolder, removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { isAbsent } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import { closeLocked, isFileAt, lockFile, waitForLock } from "../files/file_lock.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { isNoSpace } from "../files/no_space.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, CrpeError, NoSpaceError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import { pieceListPath, piecesPath, temporaryPath } from "./layout.ts";

/** A byte range of a blob. */
export interface ByteSpan {
  /** Position of the first byte. */
  readonly start: number;
  /** Number of bytes. */
  readonly length: number;
}

/** A byte range of a blob that was received. */
export interface PieceRange extends ByteSpan {
  /** Number of the bundle part that contained it, counted from 1. */
  readonly part: number;
}

/** What `BlobPieces` works on. */
interface BlobPiecesOptions {
  /** The data folder. */
  readonly root: string;
  readonly digest: Digest;
  /** Moves the complete, verified file to the place of the blob. */
  readonly moveToTarget: (path: string) => Promise<void>;
}

/**
 * A blob that is received in pieces, in any order and over days: a sparse file, and a list of the ranges that are
 * valid. Pieces have no digest of their own. A range is recorded only after its bundle file was read to the end with a
 * valid checksum, and the bytes are synced.
 *
 * Several writers may write pieces of one blob concurrently: they share a lock on the file. Calls of `record` and
 * `commit` for one blob must be serialized by the caller.
 */
export class BlobPieces {
  readonly #file: Deno.FsFile;
  readonly #options: BlobPiecesOptions;
  readonly #path: string;
  readonly #listPath: string;
  #isOpen = true;

  private constructor(file: Deno.FsFile, options: BlobPiecesOptions) {
    this.#file = file;
    this.#options = options;
    this.#path = `${options.root}/${piecesPath(options.digest)}`;
    this.#listPath = `${options.root}/${pieceListPath(options.digest)}`;
  }

  /** Opens the sparse file. Creates it if it does not exist. */
  static async open(options: BlobPiecesOptions): Promise<BlobPieces> {
    const path = `${options.root}/${piecesPath(options.digest)}`;
    await createFolder(parentOf(path));
    for (;;) {
      const file = await openOwned(path, { read: true, write: true, create: true });
      try {
        // Waits for a commit in progress, which is short. File systems without locks are used without one.
        await waitForLock(file, path, false);
        // A commit may have renamed the file to the blob since it was opened, and a blob must not be written.
        if (isFileAt(path, file)) return new BlobPieces(file, options);
      } catch (error) {
        file.close();
        throw error;
      }
      file.close();
    }
  }

  /**
   * Writes bytes at `position`. They are valid only once `record` was called for them.
   *
   * @throws {NoSpaceError} when the disk is full
   */
  async write(position: number, chunk: Uint8Array): Promise<void> {
    try {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      for (let at = 0; at < chunk.length;) at += await this.#file.write(chunk.subarray(at));
    } catch (cause) {
      if (!isNoSpace(cause)) throw cause;
      throw new NoSpaceError(cannot(`write ${this.#options.digest}`, "no space left on the device"), { cause });
    }
  }

  /**
   * Records ranges as valid. They survive a power loss once the promise resolves.
   *
   * @throws {Error} when the file was removed since it was opened, because no pending package needs it any more
   */
  async record(ranges: readonly PieceRange[]): Promise<void> {
    const { root, digest } = this.#options;
    await this.#file.syncData();
    if (!isFileAt(this.#path, this.#file)) {
      throw new CrpeError(
        cannot(`keep the pieces of ${digest}`, "they were removed during the import", "import that part again"),
      );
    }
    const all = [...await readPieceList(root, digest), ...ranges].sort((a, b) => a.start - b.start);
    const known = all.filter(({ start, length }, i) => {
      return i === all.findIndex((other) => other.start === start && other.length === length);
    });
    const bytes = new TextEncoder().encode(`${JSON.stringify({ ranges: known })}\n`);
    await writeFileDurably(this.#listPath, bytes, { temporary: temporaryPath(root) });
  }

  /**
   * Verifies the blob and moves it into place, if all pieces were received and no other writer has the file open.
   * Closes the file in any case.
   *
   * @param size size of the blob in bytes
   * @returns `false` when pieces are missing, or there is another writer
   * @throws {DigestMismatchError} when the content does not match the digest; all pieces are removed
   */
  async commit(size: number): Promise<boolean> {
    const { root, digest, moveToTarget } = this.#options;
    const isComplete = countMissing(await readPieceList(root, digest), 0, size) === 0;
    if (!isComplete || !await this.#lockExclusively()) {
      this.close();
      return false;
    }
    try {
      const verifier = new Verifier(digest, size);
      const buffer = new Uint8Array(CHUNK_BYTES);
      this.#file.seekSync(0, Deno.SeekMode.Start);
      for (let got = await this.#file.read(buffer); got !== null; got = await this.#file.read(buffer)) {
        verifier.update(buffer.subarray(0, got));
      }
      verifier.finish();
      await this.#file.syncData();
      await moveToTarget(this.#path);
      await removeIfPresent(this.#listPath);
      return true;
    } catch (error) {
      if (error instanceof DigestMismatchError) {
        await removeIfPresent(this.#listPath);
        await removeIfPresent(this.#path);
      }
      throw error;
    } finally {
      this.close();
    }
  }

  /** Discards bytes that were not recorded: truncates the file after the last recorded range, and closes it. */
  async abandon(): Promise<void> {
    if (!this.#isOpen) return;
    const { root, digest } = this.#options;
    if (await this.#lockExclusively()) {
      // Read under the lock only: another writer may have recorded ranges just before.
      const end = Math.max(0, ...(await readPieceList(root, digest)).map(({ start, length }) => start + length));
      if (end === 0) await removeIfPresent(this.#path);
      else await this.#file.truncate(end);
    }
    this.close();
  }

  // A file system without locks counts as locked: there is no way to detect other writers.
  async #lockExclusively(): Promise<boolean> {
    return await lockFile(this.#file, this.#path) !== "taken" && isFileAt(this.#path, this.#file);
  }

  /** Closes the file. May be called more than once. */
  close(): void {
    if (this.#isOpen) closeLocked(this.#file);
    this.#isOpen = false;
  }
}

/** Returns how many bytes of a span are not covered by `ranges`. */
export function countMissing(ranges: readonly ByteSpan[], start: number, length: number): number {
  return listMissing(ranges, start, length).reduce((sum, { length }) => sum + length, 0);
}

/** Returns the parts of a span that are not covered by `ranges`, in order. */
export function listMissing(ranges: readonly ByteSpan[], start: number, length: number): ByteSpan[] {
  const missing: ByteSpan[] = [];
  const end = start + length;
  let at = start;
  for (const range of ranges.toSorted((a, b) => a.start - b.start)) {
    const [from, to] = [Math.max(range.start, at), Math.min(range.start + range.length, end)];
    if (to <= from) continue;
    if (from > at) missing.push({ start: at, length: from - at });
    at = to;
  }
  if (end > at) missing.push({ start: at, length: end - at });
  return missing;
}

const LIMITS = { maxBytes: 16 * 1024 * 1024, maxDepth: 4 };

/** Reads the recorded ranges of a blob's pieces. Gives none if the list or the file is missing or inconsistent. */
export async function readPieceList(root: string, digest: Digest): Promise<PieceRange[]> {
  const listPath = `${root}/${pieceListPath(digest)}`;
  try {
    const json = parseJson(await Deno.readFile(listPath), listPath, LIMITS);
    const ranges: unknown = isJsonObject(json) ? json.ranges : undefined;
    if (!Array.isArray(ranges) || !ranges.every(isRange)) return [];
    const { isFile, size } = await Deno.lstat(`${root}/${piecesPath(digest)}`);
    return isFile && ranges.every(({ start, length }) => start + length <= size) ? ranges : [];
  } catch (error) {
    // Pieces that cannot be trusted only have to be sent again.
    if (isAbsent(error) || error instanceof CorruptError) return [];
    throw error;
  }
}

function isRange(value: unknown): value is PieceRange {
  const { start, length, part } = isJsonObject(value) ? value : {};
  const isCount = (it: unknown, least: number) => Number.isSafeInteger(it) && (it as number) >= least;
  return isCount(start, 0) && isCount(length, 1) && isCount(part, 1);
}
