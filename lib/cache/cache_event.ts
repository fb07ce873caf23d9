import type { Digest } from "../oci/digest.ts";

/** An event in the cache, for metrics and the log. */
export type CacheEvent =
  /** The download of a blob started. */
  | { readonly type: "download"; readonly repo: string; readonly size: number }
  /** A client joined a download in progress. */
  | { readonly type: "shared"; readonly repo: string }
  /** A byte range far ahead of the download of its blob was requested from the upstream separately. */
  | { readonly type: "range"; readonly repo: string }
  /** Bytes of a blob were received from an upstream. */
  | { readonly type: "received"; readonly repo: string; readonly bytes: number }
  /** A tag was served from the store, because its upstream could not be reached or no longer has it. */
  | { readonly type: "stale"; readonly repo: string }
  /** A manifest was served although blobs of the image are missing, and no upstream can be asked for them. */
  | { readonly type: "incomplete"; readonly repo: string }
  /** The blobs of an image that no client requested were downloaded in the background. */
  | CompletedEvent
  /** The blobs of an image that no client requested could not be downloaded. */
  | { readonly type: "uncompleted"; readonly repo: string; readonly digest: Digest; readonly error: unknown }
  /** A blob was served without being cached. */
  | BypassEvent
  /** A blob was received incomplete or corrupt. `host` sent it. */
  | {
    readonly type: "failed";
    readonly repo: string;
    readonly digest: Digest;
    readonly host: string | undefined;
    readonly error: unknown;
  };

/** See `CacheEvent`. `digest` is that of the manifest. */
interface CompletedEvent {
  readonly type: "completed";
  readonly repo: string;
  readonly digest: Digest;
  /** Number of downloaded blobs. */
  readonly blobs: number;
  readonly bytes: number;
}

/** See `CacheEvent`. */
interface BypassEvent {
  readonly type: "bypass";
  readonly repo: string;
  readonly digest: Digest;
  readonly size: number;
  readonly why: BypassReason;
}

/** Why a blob is not cached: the disk is full, the size limit is reached, or the data folder is not writable. */
export type BypassReason = "disk" | "limit" | "read-only";
