import type { AskBlobOptions, AskOptions, ReceivedBlob } from "../content/ask_options.ts";
import type { ContentSource, ReferrerList } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** A blob that is being received from an upstream. */
export interface UpstreamBlob extends ReceivedBlob {
  /** Whether another crpe sends it, so that it is asked of the upstream if it is not right. */
  readonly isFromPeer?: boolean;
  /** Whether the part that was received is kept to resume from when the transfer fails. Default: true. */
  readonly isKept?: boolean;
}

/** A remote source. Gives `undefined`, without a request, for a repository that it does not allow. */
export interface Upstream extends Pick<ContentSource, "resolve" | "statBlob" | "listTags"> {
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
   * @throws {RegistryError} `RANGE_INVALID` when the range is outside the blob; `BAD_GATEWAY` when the upstream states
   *   another size than the caller
   */
  openBlobWith(repo: string, digest: Digest, options: AskBlobOptions): Promise<UpstreamBlob | undefined>;
  /** Lists referrers as `ContentCatalog.listReferrers`. @throws {RegistryError} when the list is not available */
  listReferrers(repo: string, digest: Digest): Promise<ReferrerList>;
}
