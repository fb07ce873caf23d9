import { createHash } from "node:crypto";
import { drain } from "../bytes/file_stream.ts";
import type { Scratch } from "../bytes/scratch.ts";
import type { SharedFiles } from "../bytes/shared_files.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { createFolder, removeIfPresent } from "../files/durable.ts";
import { tryLockFile } from "../files/file_lock.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { isNoSpace } from "../files/no_space.ts";
import { ScratchFile } from "../files/scratch_file.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { cannot, NoSpaceError } from "../oci/error.ts";
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

  /** As `ImportStore.statIngest`. */
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

  /** As `ImportStore.openScratch`. */
  openScratch(): Promise<Scratch> {
    return ScratchFile.open(`${this.#options.folder}/${INGEST}`);
  }

  /**
   * Stores content whose digest is not known before it was read, such as a layer of a `docker save` archive. No repository
   * links to it yet: the caller holds a write lease until a manifest does.
   *
   * @param expected the digest that the content must have, where one is given
   * @returns the digest of the content
   * @throws {DigestMismatchError} when the content does not have the expected digest; nothing is stored then
   * @throws {NoSpaceError} when the disk is full
   */
  async addBlob(body: ReadableStream<Uint8Array>, expected?: Digest): Promise<Digest> {
    const { folder, moveToTarget } = this.#options;
    const algorithm = expected === undefined ? "sha256" : splitDigest(expected).algorithm;
    const hash = createHash(algorithm);
    await createFolder(`${folder}/${INGEST}`);
    const temporary = temporaryPath(folder);
    using file = await openOwned(temporary, { write: true, createNew: true });
    // A lock keeps other processes from removing the file as a stale one.
    await tryLockFile(file, temporary);
    try {
      await drain(body, async (chunk) => {
        hash.update(chunk);
        for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
      });
      const digest: Digest = `${algorithm}:${hash.digest("hex")}`;
      if (expected !== undefined && digest !== expected) {
        throw new DigestMismatchError(cannot(`accept ${expected}`, `the content has digest ${digest}`));
      }
      await file.syncData();
      await moveToTarget(temporary, digest);
      return digest;
    } catch (error) {
      await removeIfPresent(temporary);
      if (!isNoSpace(error)) throw error;
      throw new NoSpaceError(cannot("store the content of the archive", "no space left on the device"), {
        cause: error,
      });
    }
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
