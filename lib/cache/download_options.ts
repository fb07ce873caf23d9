import type { ByteRange } from "../bytes/byte_range.ts";
import type { OpenedBlob } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";

/** The blob of a `SharedDownload`. */
export interface DownloadedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** The rest of the blob, from byte `ingest.written` on. */
  readonly body: ReadableStream<Uint8Array>;
  /** Aborts the transfer of `body`. */
  readonly abort: (reason: unknown) => void;
}

/** Options of a `SharedDownload`. */
export interface DownloadOptions {
  /** Called with the number of bytes of each received chunk. */
  readonly onBytes: (count: number) => void;
  /** Called with the error that ends the download, before a reader receives it, unless the download was cancelled. */
  readonly onFailure: (error: unknown) => void;
  /** Opens the blob in the store, where another download may have committed it. */
  readonly openHeld: (range: ByteRange) => Promise<OpenedBlob | undefined>;
  /** Reports whether the download must wait. It never waits while it has readers. */
  readonly mustPause?: () => boolean;
  /** Whether the partial file is kept to resume from when the download fails. Default: true. */
  readonly isKept?: boolean | undefined;
  /** Whether another crpe sends the blob, and the next download gets it from the upstream. */
  readonly isFromPeer?: boolean | undefined;
}
