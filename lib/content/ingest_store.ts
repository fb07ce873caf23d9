import type { Digest } from "../oci/digest.ts";
import type { Ingest } from "./ingest.ts";
import type { ContentCatalog, ContentStore } from "./source.ts";

/** A store whose blobs can be written bit by bit, so that others can read along. */
export interface IngestStore extends ContentStore, ContentCatalog {
  /** Begins, or goes on with, writing a blob, whose size may not be known yet. */
  openIngest(digest: Digest): Promise<Ingest>;
  /** How many bytes an earlier, interrupted try to write a blob has left to be gone on with. */
  statIngest(digest: Digest): Promise<number>;
  /** Grants a repository a blob that the store holds. */
  linkBlob(repo: string, digest: Digest): Promise<void>;
}
