import type { Scratch } from "../bytes/scratch.ts";
import type { ContentCatalog, ContentStore } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobPieces, PieceRange } from "./blob_pieces.ts";
import type { Ingest } from "./ingest.ts";

/** A store whose blobs can be written incrementally, so that readers can follow a download in progress. */
export interface IngestStore extends ContentStore, ContentCatalog {
  /**
   * Starts or resumes writing a blob. Its size need not be known yet. Only what was received for the same repository is
   * resumed, because its clients read the file before it is verified.
   *
   * @param repo the repository that the blob is linked to when it is committed, or a set of them, which may grow until
   *   then, and of which the first one counts; absent when no client reads the file
   */
  openIngest(digest: Digest, repo?: string | ReadonlySet<string>): Promise<Ingest>;
  /**
   * Claims the download of a blob for a repository, where processes share the store: waits while another one has it.
   *
   * @returns what ends the claim; `"stored"` when another process has stored the blob, and the repository may serve it
   */
  claimDownload?(repo: string, digest: Digest): Promise<AsyncDisposable | "stored" | undefined>;
  /** Lists the digests of the manifests filed under exactly this repository name. */
  listManifests(repo: string): Promise<Digest[]>;
  typeOfManifest(repo: string, digest: Digest): Promise<string | undefined>;
  /** Reports whether the store has a blob, whichever repository it belongs to. */
  isHeld(digest: Digest): Promise<boolean>;
  /** Reports whether the store has a blob that is linked to any repository of a registry. */
  isGivenBy(host: string, digest: Digest): Promise<boolean>;
  /** Links a blob of the store to a repository. */
  linkBlob(repo: string, digest: Digest): Promise<void>;
}

/** A store that knows which repositories may serve a blob. */
export interface GrantingStore extends IngestStore {
  /** Reports whether a repository may serve a blob, if the store has it. */
  isLinkedBlob(repo: string, digest: Digest): Promise<boolean>;
}

/** A tag of a repository, and what it refers to. */
export interface TagLink {
  readonly tag: string;
  readonly digest: Digest;
  /** When the tag was set to the digest. */
  readonly date?: Date | undefined;
}

/** A store whose tags can be listed with what they refer to. */
export interface TaggedStore extends ContentStore, ContentCatalog {
  /** Lists the tags filed under exactly this repository name. */
  listTagLinks(repo: string): Promise<TagLink[]>;
}

/** A store that also accepts blobs in pieces, in any order. */
export interface PieceStore extends IngestStore {
  /** Lists the recorded byte ranges of a blob. */
  listPieces(digest: Digest): Promise<PieceRange[]>;
  /** Starts or resumes writing a blob in pieces. */
  openPieces(digest: Digest): Promise<BlobPieces>;
}

/** A store that bundles are imported into. Layers are rebuilt from deltas in it. */
export interface ImportStore extends PieceStore {
  /** Returns the size of the partial file that an ingest without a repository has left, in bytes; 0 if there is none. */
  statIngest(digest: Digest): Promise<number>;
  /**
   * Links a blob to a repository, so that it stays, where others may remove what nothing refers to.
   *
   * @returns `false` when it has just been removed
   */
  keepBlob(repo: string, digest: Digest): Promise<boolean>;
  /** Opens temporary space on the disk of the store. */
  openScratch(): Promise<Scratch>;
  /** Hashes a blob, and moves it to the quarantine if it is corrupt. Returns the state in which it was found. */
  checkBlob(digest: Digest): Promise<"intact" | "corrupt" | "missing">;
  /** Removes a blob that nothing refers to. */
  discardBlob(digest: Digest): Promise<void>;
}
