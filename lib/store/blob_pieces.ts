import { CHUNK_BYTES } from "../bytes/file_stream.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import { commitFile, createFolder, parentOf, removeIfPresent, writeFileDurably } from "../files/durable.ts";
import { isFileAt, lockFile } from "../files/file_lock.ts";
import { isNoSpace } from "../files/no_space.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, NoSpaceError } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";

/** A stretch of a blob, in bytes. */
export interface ByteSpan {
  readonly start: number;
  readonly length: number;
}

/** A stretch of a blob that has come. */
export interface PieceRange extends ByteSpan {
  /** The part of a bundle that brought it, counted from 1. */
  readonly part: number;
}

/** Where the pieces of a blob lie. */
export interface BlobPiecesOptions {
  readonly digest: Digest;
  /** The sparse file that the pieces are put together in. */
  readonly path: string;
  /** Says which ranges of it count. */
  readonly listPath: string;
  /** Where the blob goes when it is whole. */
  readonly target: string;
  /** A name nobody else has. */
  readonly temporaryPath: () => string;
}

/**
 * A blob that comes in pieces, in any order and over days: a sparse file, and a list of the ranges that count. A piece has no
 * digest of its own, so that it counts only when who brought it is sure of it, and it is on the disk.
 *
 * Several may write pieces of one blob at a time: they share a lock on the file. Who counts, and who makes the blob of the
 * file, has to keep others from doing so.
 */
export class BlobPieces {
  readonly #file: Deno.FsFile;
  readonly #options: BlobPiecesOptions;
  #isOpen = true;

  private constructor(file: Deno.FsFile, options: BlobPiecesOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Opens the file, which may not be there yet. */
  static async open(options: BlobPiecesOptions): Promise<BlobPieces> {
    const { path } = options;
    await createFolder(parentOf(path));
    for (;;) {
      const file = await Deno.open(path, { read: true, write: true, create: true });
      try {
        // Whoever makes the blob of it is done soon; where there are no locks it has to go without.
        await file.lock(false).catch(() => {});
        // Meanwhile it may have become the blob, which nobody may write.
        if (await isFileAt(path, file)) return new BlobPieces(file, options);
      } catch (error) {
        file.close();
        throw error;
      }
      file.close();
    }
  }

  /** Writes bytes from `position` on. They do not count yet. @throws {NoSpaceError} */
  async write(position: number, chunk: Uint8Array): Promise<void> {
    try {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      for (let at = 0; at < chunk.length;) at += await this.#file.write(chunk.subarray(at));
    } catch (cause) {
      if (!isNoSpace(cause)) throw cause;
      throw new NoSpaceError(`Cannot write ${this.#options.digest}: no space left on the device`, { cause });
    }
  }

  /**
   * Has ranges count from now on, whatever happens to the power.
   *
   * @throws {Error} when the file was taken away since it was opened, as nobody waited for it any more
   */
  async count(ranges: readonly PieceRange[]): Promise<void> {
    const { digest, path, listPath, temporaryPath } = this.#options;
    await this.#file.syncData();
    if (!await isFileAt(path, this.#file)) {
      throw new Error(`Cannot keep the pieces of ${digest}: they were removed meanwhile; import that part once more`);
    }
    const all = [...await readPieceList(path, listPath), ...ranges].sort((a, b) => a.start - b.start);
    const known = all.filter(({ start, length }, i) => {
      return i === all.findIndex((other) => other.start === start && other.length === length);
    });
    await writeFileDurably(
      temporaryPath(),
      listPath,
      new TextEncoder().encode(`${JSON.stringify({ ranges: known })}\n`),
    );
  }

  /**
   * Makes the blob of the pieces, if all have come and nobody else is writing one. Afterwards it is closed.
   *
   * @param size of the blob, in bytes
   * @returns `false` where it is not time
   * @throws {DigestMismatchError} when together they are not the blob: then all of them go
   */
  async commit(size: number): Promise<boolean> {
    const { digest, path, listPath, target } = this.#options;
    const isWhole = countMissing(await readPieceList(path, listPath), 0, size) === 0;
    if (!isWhole || !await this.#isAlone()) {
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
      await commitFile(path, target);
      await removeIfPresent(listPath);
      return true;
    } catch (error) {
      if (error instanceof DigestMismatchError) {
        await removeIfPresent(listPath);
        await removeIfPresent(path);
      }
      throw error;
    } finally {
      this.close();
    }
  }

  /** Gives up what was written and does not count: what lies behind all that counts goes. */
  async abandon(): Promise<void> {
    if (!this.#isOpen) return;
    const { path, listPath } = this.#options;
    if (await this.#isAlone()) {
      // Not before: somebody else's may have come to count meanwhile.
      const end = Math.max(0, ...(await readPieceList(path, listPath)).map(({ start, length }) => start + length));
      if (end === 0) await removeIfPresent(path);
      else await this.#file.truncate(end);
    }
    this.close();
  }

  // Where the file system knows no locks one has to trust that nobody else writes.
  async #isAlone(): Promise<boolean> {
    return await lockFile(this.#file) !== "taken" && await isFileAt(this.#options.path, this.#file);
  }

  /** Ends writing. May be called again. */
  close(): void {
    if (this.#isOpen) this.#file.close();
    this.#isOpen = false;
  }
}

/** How many bytes of a stretch have not come. */
export function countMissing(ranges: readonly ByteSpan[], start: number, length: number): number {
  return listMissing(ranges, start, length).reduce((sum, { length }) => sum + length, 0);
}

/** What of a stretch has not come, in order. */
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

/** The ranges of a blob's pieces that count; none where the list or the file is not what it should be. */
export async function readPieceList(path: string, listPath: string): Promise<PieceRange[]> {
  try {
    const json = parseJson(await Deno.readFile(listPath), listPath, LIMITS);
    const ranges: unknown = isJsonObject(json) ? json.ranges : undefined;
    if (!Array.isArray(ranges) || !ranges.every(isRange)) return [];
    const { isFile, size } = await Deno.lstat(path);
    return isFile && ranges.every(({ start, length }) => start + length <= size) ? ranges : [];
  } catch (error) {
    // Pieces that are not to be counted on have to come again, that is all.
    if (error instanceof Deno.errors.NotFound || error instanceof CorruptError) return [];
    throw error;
  }
}

function isRange(value: unknown): value is PieceRange {
  const { start, length, part } = isJsonObject(value) ? value : {};
  const isCount = (it: unknown, least: number) => Number.isSafeInteger(it) && (it as number) >= least;
  return isCount(start, 0) && isCount(length, 1) && isCount(part, 1);
}
