import type { BundleBlob, BundleReader } from "../bundle/read_bundle.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { KubePkg, PackagePart, PartContent } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { type BlobPieces, countMissing, listMissing, type PieceRange } from "../store/blob_pieces.ts";
import type { PieceStore } from "../store/blob_store.ts";
import { checkPart, formatParts, missingParts, type PendingPackage } from "./pending_packages.ts";
import type { ImportStore } from "./write_bundle_blob.ts";

/** Where it is noted what has come of packages. */
export interface PendingNotes {
  read(name: string): Promise<PendingPackage | undefined>;
  /** Durable when the promise resolves. */
  write(pending: PendingPackage): Promise<void>;
}

/** What there is of a package that comes in parts. */
export interface PartState {
  readonly id: Digest;
  /** Of the part that was imported, from 1. */
  readonly number: number;
  readonly count: number;
  /** The parts that have come, and those that have not; sorted. */
  readonly received: readonly number[];
  readonly missing: readonly number[];
}

/** What an import of a part is given. */
export interface PartImportOptions {
  readonly store: ImportStore;
  readonly pending: PendingNotes;
  readonly force?: boolean | undefined;
  /** Keeps out others who note what has come. */
  readonly lock: () => Promise<Disposable>;
}

const PIECE_BYTES = 1024 * 1024;

/** The import of one part of a bundle: its pieces, and the note of what has come. */
export class PartImport {
  readonly #bundle: BundleReader;
  readonly #kubepkg: KubePkg;
  readonly #part: PackagePart;
  readonly #options: PartImportOptions;
  readonly #open = new Map<Digest, BlobPieces>();
  readonly #written = new Map<Digest, PieceRange[]>();
  readonly #carried: ReadonlyMap<Digest, readonly PartContent[]>;
  #received: readonly number[] = [];

  /** @param kubepkg without `status.part` */
  constructor(bundle: BundleReader & { part: PackagePart }, kubepkg: KubePkg, options: PartImportOptions) {
    this.#bundle = bundle;
    this.#kubepkg = kubepkg;
    this.#part = bundle.part;
    this.#options = options;
    this.#carried = Map.groupBy(this.#part.carries, ({ digest }) => digest);
  }

  /** Looks whether the part belongs to what is there. @throws {RefusedError} */
  async judge(): Promise<void> {
    this.#received = await this.#checkPart();
  }

  /** How the package stands, with this part or (before it was read) without it. */
  get state(): PartState {
    const { id, number, count } = this.#part;
    return { id, number, count, received: this.#received, missing: missingParts({ count, received: this.#received }) };
  }

  /** How many bytes of a blob that is not in place this part brings, and are not there; `undefined`: it brings none. */
  async countBytes(digest: Digest, size: number): Promise<number | undefined> {
    const carried = this.#carried.get(digest);
    if (carried === undefined) return undefined;
    if (carried.some(({ start }) => start === undefined)) return size;
    const ranges = await this.#store.listPieces(digest);
    return carried.reduce((sum, { start = 0, length = 0 }) => sum + countMissing(ranges, start, length), 0);
  }

  /**
   * Notes that the package is on its way, so that nobody takes away what comes.
   *
   * @param isHeld whether a blob is in place
   */
  async begin(isHeld: (digest: Digest) => Promise<boolean>): Promise<void> {
    for (const { digest, start = 0, length } of this.#part.carries) {
      if (length === undefined || await isHeld(digest)) continue;
      // Only the check sum of the whole file says that a piece is right.
      if (countMissing(await this.#store.listPieces(digest), start, length) > 0) this.#bundle.readThrough();
    }
    using _lock = await this.#options.lock();
    this.#received = await this.#checkPart();
    await this.#note(this.#received);
  }

  /**
   * Takes a piece of a blob that is not in place.
   *
   * @param onBytes told of bytes that were written
   * @returns whether it had to be written
   */
  async take({ digest, start = 0, size, read }: BundleBlob, onBytes: (count: number) => void): Promise<boolean> {
    const missing = listMissing(await this.#store.listPieces(digest), start, size);
    if (missing.length === 0) return false;
    const pieces = this.#open.get(digest) ?? await this.#store.openPieces(digest);
    this.#open.set(digest, pieces);
    let at = start;
    for (let bytes = await read(PIECE_BYTES); bytes !== undefined; bytes = await read(PIECE_BYTES)) {
      // What counts already stays as it is: nobody knows yet whether this file is good.
      for (const gap of missing) {
        const [from, to] = [Math.max(gap.start, at), Math.min(gap.start + gap.length, at + bytes.length)];
        if (from < to) await pieces.write(from, bytes.subarray(from - at, to - at));
      }
      at += bytes.length;
      onBytes(bytes.length);
    }
    this.#written.set(digest, [...this.#written.get(digest) ?? [], { start, length: size, part: this.#part.number }]);
    return true;
  }

  /**
   * Has what came count, when the file was read to its end, and puts together the blobs of which all pieces are there. To be
   * called by whom has the lock.
   *
   * @param isHeld whether a blob is in place
   * @param link grants a repository a blob that is in place now
   * @throws {CorruptError} when pieces do not make the blob; it names the parts that brought them
   */
  async finish(
    isHeld: (digest: Digest) => Promise<boolean>,
    link: (digest: Digest) => Promise<void>,
  ): Promise<void> {
    this.#received = await this.#checkPart();
    const bad = new Set<number>();
    const broken: string[] = [];
    for (const [digest, pieces] of this.#open) await pieces.record(this.#written.get(digest) ?? []);
    // Also those whose last piece came earlier, by one who was cut off before it could do this.
    for (const [digest, size] of this.#bundle.declared ?? []) {
      const ranges = await this.#store.listPieces(digest);
      if (ranges.length === 0 || countMissing(ranges, 0, size) > 0 || await isHeld(digest)) continue;
      const pieces = this.#open.get(digest) ?? await this.#store.openPieces(digest);
      try {
        if (await pieces.commit(size)) await link(digest);
      } catch (error) {
        if (!(error instanceof DigestMismatchError)) throw error;
        broken.push(error.message);
        for (const { part } of ranges) bad.add(part);
      }
    }
    const received = new Set([...this.#received, this.#part.number]);
    this.#received = [...received].filter((number) => !bad.has(number)).sort((a, b) => a - b);
    await this.#note(this.#received);
    if (broken.length === 0) return;
    const { metadata: { name }, spec: { version } } = this.#kubepkg;
    const parts = formatParts([...bad].sort((a, b) => a - b));
    throw new CorruptError(
      `Cannot import ${name}@${version}: ${
        broken.join("; ")
      }; it was put together from ${parts}: import these once more`,
    );
  }

  /**
   * Says that content is not there yet. If all parts have come, some of what they brought is gone again, nobody knows of
   * which: all but this one are waited for.
   */
  async wait(): Promise<void> {
    const { number } = this.#part;
    if (this.state.missing.length > 0) return;
    this.#received = [number];
    await this.#note(this.#received);
  }

  /** Ends the work on pieces, however it went. */
  async close(): Promise<void> {
    for (const pieces of this.#open.values()) await pieces.abandon();
  }

  async #checkPart(): Promise<readonly number[]> {
    const pending = await this.#options.pending.read(this.#kubepkg.metadata.name);
    const { force } = this.#options;
    return checkPart(this.#kubepkg, this.#part, { pending, force, what: this.#bundle.what });
  }

  async #note(received: readonly number[]): Promise<void> {
    const { id, count } = this.#part;
    await this.#options.pending.write({ kubepkg: this.#kubepkg, part: { id, count, received } });
  }

  get #store(): PieceStore {
    const { store } = this.#options;
    if (store.openPieces === undefined || store.listPieces === undefined) {
      throw new Error(`Cannot import ${this.#bundle.what}: this store takes no parts`);
    }
    return store as PieceStore;
  }
}
