import type { ContentCatalog, ContentStore } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobPieces, PieceRange } from "./blob_pieces.ts";
import type { Ingest } from "./ingest.ts";

/** A store whose blobs can be written bit by bit, so that others can read along. */
export interface IngestStore extends ContentStore, ContentCatalog {
  /** Begins, or goes on with, writing a blob, whose size may not be known yet. */
  openIngest(digest: Digest): Promise<Ingest>;
  /** How many bytes an interrupted try has left of a blob. */
  statIngest(digest: Digest): Promise<number>;
  /** Grants a repository a blob that the store holds. */
  linkBlob(repo: string, digest: Digest): Promise<void>;
}

/** A store that takes blobs also in pieces, in any order. */
export interface PieceStore extends IngestStore {
  /** What has come of a blob, and is to be counted on. */
  listPieces(digest: Digest): Promise<PieceRange[]>;
  /** Begins, or goes on with, a blob that comes in pieces. */
  openPieces(digest: Digest): Promise<BlobPieces>;
}
