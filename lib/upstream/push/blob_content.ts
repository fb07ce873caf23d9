import type { Digest } from "../../oci/digest.ts";

/** A blob that can be pushed. */
export interface BlobContent {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Opens the content from a position before its end. It may be called again after a failed upload. */
  open(start: number): Promise<ReadableStream<Uint8Array>>;
}
