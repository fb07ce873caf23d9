import type { ByteRange } from "../bytes/byte_range.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";

/**
 * Where content came from: the store, the upstream, a download that another client started, or the store although the
 * upstream could not be asked.
 */
export type CacheOutcome = "hit" | "miss" | "shared" | "stale";

/** An open blob, or a byte range of one. `body` must be read to its end or cancelled. */
export interface OpenedBlob {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  /** Position of the first byte of `body`. */
  readonly start: number;
  /** Number of bytes in `body`. */
  readonly length: number;
  readonly body: ReadableStream<Uint8Array>;
  /** Where it came from; absent for a store. */
  readonly outcome?: CacheOutcome;
}

/** The manifest that a tag or digest refers to. */
export interface ResolvedManifest extends Descriptor {
  /** Set when the upstream did not answer yet, or could not be reached, to revalidate the tag, which may have moved. */
  readonly isStale?: true;
  /** Set when blobs of the image are missing, and no upstream answers. The client may have them. */
  readonly isIncomplete?: true;
  /** Set when the manifest was fetched from the upstream for this request. */
  readonly isFetched?: true;
}

/** The requested part of a list. */
export interface ListOptions {
  /** The entry after which the part begins. It need not exist. */
  readonly after?: string | undefined;
  /** Maximum number of entries. Default: no limit. */
  readonly limit?: number | undefined;
}

/** A part of the tags of a repository. */
export interface TagPage {
  readonly tags: string[];
  /** Whether there are tags after these. */
  readonly isMore: boolean;
  /** Set when tags may be missing, because the upstream could not be asked. */
  readonly isPartial?: boolean;
}

/** A part of the names of all repositories. */
export interface RepositoryPage {
  readonly repositories: string[];
  /** Whether there are repositories after these. */
  readonly isMore: boolean;
}

/** The manifests that refer to another one by their `subject`. */
export interface ReferrerList {
  readonly referrers: Descriptor[];
  /** Set when referrers may be missing, because the upstream could not be asked. */
  readonly isPartial?: boolean;
}

/** Why content is missing. */
export interface MissingReason {
  /** The end of a sentence: `the upstream has no repository team/app`. */
  readonly reason: string;
  /** Tags of the repository that are similar to the missing one, the most similar first. */
  readonly similarTags?: readonly string[];
}

/**
 * A source of content: a store, or a store with an upstream registry behind it. `repo` is the canonical name of a
 * repository (`docker.io/library/nginx`). Missing content is `undefined`; a failure is thrown.
 */
export interface ContentSource {
  /** Resolves a tag or digest to the descriptor of its manifest. */
  resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined>;
  /** Reads the exact bytes of a manifest. Their digest is `digest`. */
  readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined>;
  /** Returns the size of a blob in bytes. */
  statBlob(repo: string, digest: Digest): Promise<number | undefined>;
  /**
   * Opens a blob, or the byte range `range` of it. If the content does not match the digest, the body errors before it
   * delivers its last bytes.
   *
   * @throws {RegistryError} `RANGE_INVALID` when the range lies outside the blob; `detail` contains the `size`
   */
  openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined>;
  /** Lists the tags of a repository, sorted by code unit; `undefined` for an unknown repository. */
  listTags(repo: string, options?: ListOptions): Promise<TagPage | undefined>;
  /** Finds out why a tag or digest, or the whole repository, is missing. Makes at most one request to the upstream. */
  explainMissing?(repo: string, tagOrDigest?: string): Promise<MissingReason>;
}

/** A source that also supports content discovery: listing repositories and referrers. */
export interface ContentCatalog extends ContentSource {
  /** Lists the names of the repositories in the store, sorted by code unit. */
  listRepositories(options?: ListOptions): Promise<RepositoryPage>;
  /**
   * Lists descriptors of the manifests in `repo` whose `subject` is `digest`. `artifactType` and `annotations` are set
   * as the OCI distribution specification requires ("Listing Referrers"). Empty for an unknown subject.
   */
  listReferrers(repo: string, digest: Digest): Promise<ReferrerList>;
  /**
   * Returns the media type of a manifest that the store has; `undefined` for other content. A manifest that is requested
   * as a blob has the same type as one that is requested as a manifest.
   */
  typeOfManifest?(repo: string, digest: Digest): Promise<string | undefined>;
}

/** A manifest to store. */
export interface NewManifest extends Descriptor {
  /** Set for one that was fetched from an upstream: it grants its repository none of the blobs that it names. */
  readonly isFetched?: true;
}

/** A writable source. Each write is atomic: durable when its promise resolves, and without effect when it rejects. */
export interface ContentStore extends ContentSource {
  /** Stores a blob if it has the size and digest of `expected`. Reads `body` to its end or cancels it. */
  writeBlob(repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void>;
  /** Stores a manifest. Links the blobs that it references to the repository, unless it was fetched. */
  writeManifest(repo: string, expected: NewManifest, bytes: Uint8Array): Promise<void>;
  /** Points a tag at a manifest of the repository. */
  tag(repo: string, tag: string, digest: Digest): Promise<void>;
}
