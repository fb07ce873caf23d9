import type { ByteRange } from "../bytes/byte_range.ts";
import type { ContentSource, OpenedBlob, ReferrerList } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** Options of a request to an upstream. */
export interface AskOptions {
  /** Whether the caller has a fallback: the request is then not retried, and has a short time-out. */
  readonly isUrgent?: boolean;
}

/** Options of a request for a blob. */
export interface UpstreamBlobOptions {
  /** The part of the blob to open; absent for the whole blob. */
  readonly range?: ByteRange | undefined;
  /** The size of the blob in bytes, if a manifest states it. A response with another size is an error. */
  readonly size?: number | undefined;
  /** Aborts the transfer. */
  readonly signal?: AbortSignal | undefined;
}

/** A blob that is being received from an upstream. */
export interface UpstreamBlob extends Omit<OpenedBlob, "size" | "length"> {
  /** Size of the whole blob in bytes; `undefined` if neither the caller nor the upstream states it. */
  readonly size: number | undefined;
  /** Number of bytes in `body`; `undefined` if the size is. */
  readonly length: number | undefined;
  /** Host that sends it. */
  readonly host?: string;
  /** Whether another crpe sends it, so that it is asked of the upstream if it is not right. */
  readonly isFromPeer?: boolean;
  /** Whether the part that was received is kept to resume from when the transfer fails. Default: true. */
  readonly isKept?: boolean;
}

/** A remote source. Gives `undefined`, without a request, for a repository that it does not allow. */
export interface Upstream extends ContentSource {
  /** Reports whether a repository may be requested at all. If absent, every repository may. */
  allows?(repo: string): boolean;
  /** Reports whether only other crpes may be asked for a repository; see `PeeredUpstream`. */
  hasOnlyPeers?(repo: string): boolean;
  /** Reports whether tags of a repository can be asked for, or only content by its digest. If absent, they can. */
  knowsTags?(repo: string): boolean;
  /** The time before which nothing of a repository is sent, in milliseconds since 1970; `undefined`: it is sent now. */
  closedUntil?(repo: string): Promise<number | undefined>;
  /** Resolves a tag without reading the manifest. */
  headManifest(repo: string, tag: string, options?: AskOptions): Promise<Descriptor | undefined>;
  readManifest(repo: string, digest: Digest, options?: AskOptions): Promise<Uint8Array | undefined>;
  /**
   * Opens a blob, or a byte range of it.
   *
   * @throws {RegistryError} `BAD_GATEWAY` when the upstream states another size than the caller
   */
  openBlobWith(repo: string, digest: Digest, options: UpstreamBlobOptions): Promise<UpstreamBlob | undefined>;
  /** Lists referrers as `ContentCatalog.listReferrers`. @throws {RegistryError} when the list is not available */
  listReferrers(repo: string, digest: Digest): Promise<ReferrerList>;
}
