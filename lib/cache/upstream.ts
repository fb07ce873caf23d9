import type { ByteRange } from "../bytes/byte_range.ts";
import type { ContentSource, OpenedBlob } from "../content/source.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** How an upstream is asked. */
export interface AskOptions {
  /** Whoever asks has something to fall back on: one try, and no long wait. */
  readonly isUrgent?: boolean;
}

/** A blob on its way here. */
export interface UpstreamBlob extends OpenedBlob {
  /** Who sends it. */
  readonly host?: string;
}

/** A source far away. It gives `undefined`, without asking anybody, for what it may not be asked. */
export interface Upstream extends ContentSource {
  /** Tells whether it may be asked for a repository at all; without this it may. */
  allows?(repo: string): boolean;
  /** What a tag stands for now, without reading the manifest. */
  headManifest(repo: string, tag: string, options?: AskOptions): Promise<Descriptor | undefined>;
  readManifest(repo: string, digest: Digest, options?: AskOptions): Promise<Uint8Array | undefined>;
  openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<UpstreamBlob | undefined>;
  /** As `ContentCatalog` has it. */
  listReferrers(repo: string, digest: Digest): Promise<Descriptor[]>;
}
