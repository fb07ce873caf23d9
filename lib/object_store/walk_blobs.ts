import { type Digest, isDigest } from "../oci/digest.ts";
import { BLOBS } from "../store/layout.ts";
import type { S3Client } from "./s3_client.ts";

/** A blob or manifest in a bucket. */
export interface StoredBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** When it was written, by the clock of the storage, in milliseconds. */
  readonly modified: number;
}

/** Yields all blobs and manifests of a bucket, sorted by digest. */
export async function* walkBlobs(client: S3Client): AsyncGenerator<StoredBlob> {
  for await (const { key, size, modified } of client.walk({ prefix: `${BLOBS}/` })) {
    const [, algorithm, hex] = /\/([^/]+)\/[^/]+\/([^/]+)\/data$/.exec(key) ?? [];
    const digest = `${algorithm}:${hex}`;
    if (isDigest(digest)) yield { digest, size, modified };
  }
}
