import type { Digest } from "../oci/digest.ts";

/** A blob (or manifest) that a push has to bring. */
export interface MissingBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** How many bytes of it have come already. */
  readonly offset: number;
}

/** How far a blob is on its way to an agent. */
export interface BlobState {
  readonly digest: Digest;
  /** Whether the store holds it. */
  readonly held: boolean;
  /** How many bytes have come. */
  readonly offset: number;
  /** Whether somebody is sending it. */
  readonly busy: boolean;
}
