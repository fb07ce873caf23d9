import type { ByteRange } from "../bytes/byte_range.ts";
import type { OpenedBlob } from "./source.ts";

/** Options of a request to a remote source. */
export interface AskOptions {
  /** Whether the caller has a fallback: the request is then not retried, and has a short time-out. */
  readonly isUrgent?: boolean;
}

/** Options of a request for a blob. */
export interface AskBlobOptions {
  /** The part of the blob to open; absent for the whole blob. */
  readonly range?: ByteRange | undefined;
  /** The size of the blob in bytes, if a manifest states it. A response with another size is an error. */
  readonly size?: number | undefined;
  /** Aborts the transfer. */
  readonly signal?: AbortSignal | undefined;
}

/** A blob, or a byte range of it, that is being received. */
export interface ReceivedBlob extends Omit<OpenedBlob, "size" | "length"> {
  /** Host that sends it; absent when nothing is left to send. */
  readonly host?: string;
  /** Size of the whole blob in bytes; `undefined` when neither a manifest nor the registry states it. */
  readonly size: number | undefined;
  /** Number of bytes in `body`; `undefined` when the size is not known. */
  readonly length: number | undefined;
}
