import type { ByteRange } from "../bytes/byte_range.ts";
import type { ContentSource, OpenedBlob } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** Options of a request to an upstream. */
export interface AskOptions {
  /** Whether the caller has a fallback: the request is then not retried, and has a short time-out. */
  readonly isUrgent?: boolean;
}

/** A blob that is being received from an upstream. */
export interface UpstreamBlob extends OpenedBlob {
  /** Host that sends it. */
  readonly host?: string;
}

/** A remote source. Gives `undefined`, without a request, for a repository that it does not allow. */
export interface Upstream extends ContentSource {
  /** Reports whether a repository may be requested at all. If absent, every repository may. */
  allows?(repo: string): boolean;
  /** Resolves a tag without reading the manifest. */
  headManifest(repo: string, tag: string, options?: AskOptions): Promise<Descriptor | undefined>;
  readManifest(repo: string, digest: Digest, options?: AskOptions): Promise<Uint8Array | undefined>;
  openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<UpstreamBlob | undefined>;
  /** Lists referrers as `ContentCatalog.listReferrers`. @throws {RegistryError} when the list is not available */
  listReferrers(repo: string, digest: Digest): Promise<Descriptor[]>;
}
