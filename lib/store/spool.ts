import type { Scratch } from "../bytes/scratch.ts";
import type { SharedFiles } from "../bytes/shared_files.ts";
import { ScratchFile } from "../files/scratch_file.ts";
import type { Digest } from "../oci/digest.ts";
import { addBlob } from "./add_blob.ts";
import { BlobPieces, type PieceRange, readPieceList } from "./blob_pieces.ts";
import { Ingest, type IngestOptions } from "./ingest.ts";
import { INGEST, partialPath, temporaryPath } from "./layout.ts";
import { PartialHashes } from "./partial_hashes.ts";
import { sizeOfFile } from "./store_scan.ts";

/** What a `Spool` needs. */
export interface SpoolOptions {
  /** The data folder, which has what was received. */
  readonly folder: string;
  /** The files of downloads, which clients read while they grow. */
  readonly files: SharedFiles;
  /**
   * Moves a complete, verified file to the place of its blob.
   *
   * @param repos the repositories that it is linked to; absent for content that was not received for a client
   */
  readonly moveToTarget: (path: string, digest: Digest, repos?: string | ReadonlySet<string>) => Promise<void>;
}

const NO_REPOSITORIES: ReadonlySet<string> = new Set();

/** The content that a process receives for a store, on the local disk, until it is complete and verified. */
export class Spool {
  readonly #options: SpoolOptions;
  readonly #hashes = new PartialHashes();

  constructor(options: SpoolOptions) {
    this.#options = options;
  }

  /** As `IngestStore.openIngest`. */
  openIngest(digest: Digest, repos: string | ReadonlySet<string> = NO_REPOSITORIES): Promise<Ingest> {
    const path = `${this.#options.folder}/${partialPath(digest, firstOf(repos))}`;
    return Ingest.open({ ...this.#ingestOptions(digest, repos), path });
  }

  /** Writes a blob whose whole content is at hand. @throws {DigestMismatchError} as `Ingest.commit` */
  writeBlob(digest: Digest, size: number, body: ReadableStream<Uint8Array>): Promise<void> {
    return Ingest.writeWhole({ ...this.#ingestOptions(digest, NO_REPOSITORIES), size }, body);
  }

  /** As `IngestStore.statIngest`. */
  statIngest(digest: Digest): Promise<number> {
    return Promise.resolve(sizeOfFile(`${this.#options.folder}/${partialPath(digest)}`) ?? 0);
  }

  /** As `PieceStore.listPieces`. */
  listPieces(digest: Digest): Promise<PieceRange[]> {
    return readPieceList(this.#options.folder, digest);
  }

  /** As `PieceStore.openPieces`. */
  openPieces(digest: Digest): Promise<BlobPieces> {
    const { folder: root, moveToTarget } = this.#options;
    return BlobPieces.open({ root, digest, moveToTarget: (path) => moveToTarget(path, digest) });
  }

  /** As `DeltaStore.openScratch`. */
  openScratch(): Promise<Scratch> {
    return ScratchFile.open(`${this.#options.folder}/${INGEST}`);
  }

  /** As the function `addBlob`. */
  addBlob(body: ReadableStream<Uint8Array>, expected?: Digest): Promise<Digest> {
    const { folder, moveToTarget } = this.#options;
    return addBlob(folder, body, { expected, moveToTarget });
  }

  #ingestOptions(digest: Digest, repos: string | ReadonlySet<string>): IngestOptions {
    const { folder, files, moveToTarget } = this.#options;
    return {
      digest,
      files,
      ...{ path: temporaryPath(folder), fallbackPath: temporaryPath(folder) },
      hashes: this.#hashes,
      moveToTarget: (path) => moveToTarget(path, digest, repos),
    };
  }
}

// The repository that a blob is received for, of those that it is linked to; `undefined` when there is none.
function firstOf(repos: string | ReadonlySet<string>): string | undefined {
  return typeof repos === "string" ? repos : repos.values().next().value;
}
