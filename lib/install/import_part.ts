import { entrySizes } from "../bundle/declared_deltas.ts";
import type { BundleBlob, BundleReader } from "../bundle/read_bundle.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { KubePkg, PackagePart, PartContent, StatusDelta } from "../kubepkg/kubepkg.ts";
import { formatRelease, packageIdOf } from "../kubepkg/package_id.ts";
import { identityOf } from "../kubepkg/version.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { type BlobPieces, countMissing, listMissing, type PieceRange } from "../store/blob_pieces.ts";
import type { PieceStore } from "../store/blob_store.ts";
import type { PackageRecords } from "./package_records.ts";
import { checkPart, formatParts, missingParts, withDeltas } from "./pending_packages.ts";
import { absentIfBroken } from "./records/record_file.ts";

/** Which parts of a package were received. */
export interface PartState {
  readonly id: Digest;
  /** The number of the part that was imported, from 1. */
  readonly number: number;
  /** How many parts the bundle has. */
  readonly count: number;
  /** The numbers of the parts that were received; sorted. */
  readonly received: readonly number[];
  /** The numbers of the parts that were not received; sorted. */
  readonly missing: readonly number[];
}

/** Options of a `PartImport`. */
interface PartImportOptions {
  readonly part: PackagePart;
  readonly store: PieceStore;
  readonly records: PackageRecords;
  readonly force?: boolean | undefined;
}

const PIECE_BYTES = 1024 * 1024;

/** The import of one part of a bundle: writes its pieces, and keeps the record of the parts that were received. */
export class PartImport {
  readonly #bundle: BundleReader;
  readonly #kubepkg: KubePkg;
  readonly #part: PackagePart;
  readonly #options: PartImportOptions;
  readonly #open = new Map<Digest, BlobPieces>();
  readonly #written = new Map<Digest, PieceRange[]>();
  readonly #carried: ReadonlyMap<Digest, readonly PartContent[]>;
  #received: readonly number[] = [];
  /** Those of a push of the same release, which is pending too. */
  #deltas: readonly StatusDelta[] | undefined;

  /** @param kubepkg the release, without `status.part` */
  constructor(bundle: BundleReader, kubepkg: KubePkg, options: PartImportOptions) {
    this.#bundle = bundle;
    this.#kubepkg = kubepkg;
    this.#part = options.part;
    this.#options = options;
    this.#carried = Map.groupBy(this.#part.carries, ({ digest }) => digest);
  }

  /** The part, as the bundle describes it. */
  get part(): PackagePart {
    return this.#part;
  }

  /** Checks that the part belongs to the parts that were received before. @throws {RefusedError} when not */
  async check(): Promise<void> {
    this.#received = await this.#checkPart();
  }

  /** Which parts of the package were received; this part counts only after `finish`. */
  get state(): PartState {
    const { id, number, count } = this.#part;
    return { id, number, count, received: this.#received, missing: missingParts({ count, received: this.#received }) };
  }

  /**
   * Returns how many bytes of a blob this part carries that are not on the disk yet; `undefined` if it carries none.
   *
   * @param size the size of the whole blob in bytes
   */
  async countBytes(digest: Digest, size: number): Promise<number | undefined> {
    const carried = this.#carried.get(digest);
    if (carried === undefined) return undefined;
    if (carried.some(({ start }) => start === undefined)) return size;
    const ranges = await this.#options.store.listPieces(digest);
    return carried.reduce((sum, { start = 0, length = 0 }) => sum + countMissing(ranges, start, length), 0);
  }

  /**
   * Records the package as pending, so that garbage collection and eviction keep its content.
   *
   * @param isHeld reports whether the store holds a blob
   */
  async begin(isHeld: (digest: Digest) => Promise<boolean>): Promise<void> {
    for (const { digest, start = 0, length } of this.#part.carries) {
      if (length === undefined || await isHeld(digest)) continue;
      // Pieces have no digest of their own; only the checksum of the whole file verifies them. So it is read to its
      // end.
      if (countMissing(await this.#options.store.listPieces(digest), start, length) > 0) this.#bundle.readThrough();
    }
    // No other import may change the record meanwhile.
    await using _lock = await this.#options.records.lock();
    this.#received = await this.#checkPart();
    await this.#record(this.#received);
  }

  /**
   * Writes the missing bytes of a piece.
   *
   * @param onBytes called with the number of bytes that were processed
   * @returns false if all bytes of the piece were on the disk
   */
  async writePiece({ digest, start = 0, size, read }: BundleBlob, onBytes: (count: number) => void): Promise<boolean> {
    const missing = listMissing(await this.#options.store.listPieces(digest), start, size);
    if (missing.length === 0) return false;
    const pieces = this.#open.get(digest) ?? await this.#options.store.openPieces(digest);
    this.#open.set(digest, pieces);
    let at = start;
    for (let bytes = await read(PIECE_BYTES); bytes !== undefined; bytes = await read(PIECE_BYTES)) {
      // Bytes that are already recorded are not overwritten, because this file is not verified yet.
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
   * Records the pieces of this part, and commits the blobs whose pieces are complete. Call it after the file was read
   * to its end with a valid checksum. The caller holds the installation lock.
   *
   * @param isHeld reports whether the store holds a blob
   * @param link links a blob that was committed into its repository, unless it is a delta
   * @throws {CorruptError} when the pieces of a blob have another digest; names the parts that they are from
   */
  async finish(
    isHeld: (digest: Digest) => Promise<boolean>,
    link: (digest: Digest) => Promise<void>,
  ): Promise<void> {
    this.#received = await this.#checkPart();
    const bad = new Set<number>();
    const broken: string[] = [];
    for (const [digest, pieces] of this.#open) {
      // Another import may have completed the blob, and removed its pieces.
      if (!await isHeld(digest)) await pieces.record(this.#written.get(digest) ?? []);
    }
    // This includes blobs whose last piece was recorded earlier, by an import that was interrupted before the commit.
    for (const [digest, size] of entrySizes(this.#bundle.declared, this.#bundle.deltas)) {
      const ranges = await this.#options.store.listPieces(digest);
      if (ranges.length === 0 || countMissing(ranges, 0, size) > 0 || await isHeld(digest)) continue;
      const pieces = this.#open.get(digest) ?? await this.#options.store.openPieces(digest);
      try {
        if (await pieces.commit(size)) await link(digest);
      } catch (error) {
        if (!(error instanceof DigestMismatchError)) throw error;
        broken.push(error.clause);
        for (const { part } of ranges) bad.add(part);
      }
    }
    const received = new Set([...this.#received, this.#part.number]);
    this.#received = [...received].filter((number) => !bad.has(number)).sort((a, b) => a - b);
    await this.#record(this.#received);
    if (broken.length === 0) return;
    const parts = formatParts([...bad].sort((a, b) => a - b));
    throw new CorruptError(
      cannot(
        `import ${formatRelease(this.#kubepkg)}`,
        `${broken.join("; ")}; it was assembled from ${parts}`,
        "import these again",
      ),
    );
  }

  /**
   * Keeps the package pending because content is missing. If all parts were received, some of their content was lost
   * since, and it is not known of which part. All parts except this one then count as missing.
   */
  async keepPending(): Promise<void> {
    const { number } = this.#part;
    if (this.state.missing.length > 0) return;
    this.#received = [number];
    await this.#record(this.#received);
  }

  /** Closes the files of all pieces, after success and after failure. */
  async close(): Promise<void> {
    for (const pieces of this.#open.values()) await pieces.abandon();
  }

  async #checkPart(): Promise<readonly number[]> {
    const { force } = this.#options;
    const pending = await this.#options.records.pending.read(packageIdOf(this.#kubepkg)).catch((error) => {
      if (!force) throw error;
      return absentIfBroken(error);
    });
    const isSame = pending !== undefined && identityOf(pending.kubepkg) === identityOf(this.#kubepkg);
    this.#deltas = isSame ? pending.kubepkg.status?.deltas : undefined;
    return checkPart(this.#kubepkg, this.#part, { pending, force, what: this.#bundle.what });
  }

  async #record(received: readonly number[]): Promise<void> {
    const { id, count } = this.#part;
    // A push may still be sending deltas, and needs their bases.
    const pending = { kubepkg: this.#kubepkg, part: { id, count, received } };
    await this.#options.records.pending.write(withDeltas(pending, this.#deltas));
  }
}
