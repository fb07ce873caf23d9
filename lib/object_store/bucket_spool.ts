import type { Scratch } from "../bytes/scratch.ts";
import type { SharedFiles } from "../bytes/shared_files.ts";
import { ScratchFile } from "../files/scratch_file.ts";
import type { Digest } from "../oci/digest.ts";
import { addBlob } from "../store/add_blob.ts";
import { BlobPieces, type PieceRange, readPieceList } from "../store/blob_pieces.ts";
import { firstRepository } from "../store/first_repository.ts";
import { Ingest } from "../store/ingest.ts";
import { INGEST, partialPath, pieceListPath, piecesPath } from "../store/layout.ts";
import { PartialHashes } from "../store/partial_hashes.ts";

/** What `BucketSpool` needs. */
export interface BucketSpoolOptions {
  /** The data folder, which has what was received. */
  readonly folder: string;
  /** The files of downloads, which clients read while they grow. */
  readonly files: SharedFiles;
  /** Uploads a complete, verified file, links it to repositories, and removes it. */
  readonly upload: (path: string, digest: Digest, repos: string | ReadonlySet<string>) => Promise<void>;
}

const NO_REPOSITORIES: ReadonlySet<string> = new Set();

/** The content that a process receives for a bucket, on the local disk, until it is complete and verified. */
export class BucketSpool {
  readonly #options: BucketSpoolOptions;
  readonly #hashes = new PartialHashes();

  constructor(options: BucketSpoolOptions) {
    this.#options = options;
  }

  /** As `IngestStore.openIngest`. */
  openIngest(digest: Digest, repos: string | ReadonlySet<string> = NO_REPOSITORIES): Promise<Ingest> {
    return Ingest.open({
      digest,
      files: this.#options.files,
      path: this.#path(partialPath(digest, firstRepository(repos))),
      fallbackPath: this.#temporaryPath(),
      hashes: this.#hashes,
      moveToTarget: (path) => this.#options.upload(path, digest, repos),
    });
  }

  /** As `IngestStore.statIngest`. */
  statIngest(digest: Digest): Promise<number> {
    return Deno.stat(this.#path(partialPath(digest))).then(({ size }) => size, () => 0);
  }

  /** As `PieceStore.listPieces`. */
  listPieces(digest: Digest): Promise<PieceRange[]> {
    return readPieceList(this.#path(piecesPath(digest)), this.#path(pieceListPath(digest)));
  }

  /** As `PieceStore.openPieces`. */
  openPieces(digest: Digest): Promise<BlobPieces> {
    return BlobPieces.open({
      digest,
      path: this.#path(piecesPath(digest)),
      listPath: this.#path(pieceListPath(digest)),
      moveToTarget: (path) => this.#options.upload(path, digest, NO_REPOSITORIES),
      temporaryPath: () => this.#temporaryPath(),
    });
  }

  /** As `DeltaStore.openScratch`. */
  openScratch(): Promise<Scratch> {
    return ScratchFile.open(this.#path(INGEST));
  }

  /** As `AddingStore.addBlob`. */
  addBlob(body: ReadableStream<Uint8Array>, expected?: Digest): Promise<Digest> {
    const moveToTarget = (path: string, digest: Digest) => this.#options.upload(path, digest, NO_REPOSITORIES);
    return addBlob(this.#options.folder, body, { expected, moveToTarget });
  }

  #temporaryPath(): string {
    return this.#path(`${INGEST}/${crypto.randomUUID()}.tmp`);
  }

  #path(path: string): string {
    return `${this.#options.folder}/${path}`;
  }
}
