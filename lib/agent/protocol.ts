import type { Digest } from "../oci/digest.ts";

/** The port of an agent. */
export const AGENT_PORT = 36060;

/** The media type of a response that is a JSON document a line. */
export const NDJSON = "application/x-ndjson";

/** A blob (or manifest) that a push has to send. */
export interface MissingBlob {
  readonly digest: Digest;
  /** The size in bytes. */
  readonly size: number;
  /** The number of bytes that the agent has received already. */
  readonly offset: number;
}

/** The state of the upload of a blob. */
export interface BlobState {
  readonly digest: Digest;
  /** Whether the store holds it. */
  readonly held: boolean;
  /** The number of bytes that the agent has received. */
  readonly offset: number;
  /** Whether an upload is in progress. */
  readonly busy: boolean;
}
