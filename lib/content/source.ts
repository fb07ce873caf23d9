import type { ByteRange } from "../bytes/byte_range.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";

/** A blob, or a part of it, being read. `body` must be read to its end or cancelled. */
export interface OpenedBlob {
  /** Size of the whole blob in bytes. */
  readonly size: number;
  /** Position of the first byte of `body`. */
  readonly start: number;
  /** Number of bytes that `body` gives. */
  readonly length: number;
  readonly body: ReadableStream<Uint8Array>;
}

/** The manifest that a tag or digest stands for. */
export interface ResolvedManifest extends Descriptor {
  /** Set where an upstream should have been asked and could not be: the tag may have moved. */
  readonly isStale?: true;
}

/**
 * Where content comes from: a store, an upstream registry, or both behind each other. `repo` is the store's name of
 * a repository (`docker.io/library/nginx`). Absent is `undefined`; a failure is thrown.
 */
export interface ContentSource {
  /** The manifest that a tag or digest stands for. */
  resolve(repo: string, tagOrDigest: string): Promise<ResolvedManifest | undefined>;
  /** The exact bytes of a manifest, which have the digest asked for. */
  readManifest(repo: string, digest: Digest): Promise<Uint8Array | undefined>;
  /** The size of a blob in bytes. */
  statBlob(repo: string, digest: Digest): Promise<number | undefined>;
  /**
   * The bytes of a blob, or of the part that `range` names. A body that turns out not to have the digest errors
   * before its last bytes are given.
   *
   * @throws {RegistryError} `RANGE_INVALID` when the range lies outside; its `detail` has the `size`
   */
  openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<OpenedBlob | undefined>;
  /** The tags of a repository, sorted by code unit; `undefined` for an unknown repository. */
  listTags(repo: string): Promise<string[] | undefined>;
}

/** A source that also answers content discovery. */
export interface ContentCatalog extends ContentSource {
  /** Names of all repositories that are held, sorted by code unit. */
  listRepositories(): Promise<string[]>;
  /**
   * Descriptors of the manifests of `repo` whose `subject` is `digest`, with `artifactType` and `annotations` filled
   * in as the distribution specification asks ("Listing Referrers"); none for an unknown subject.
   */
  listReferrers(repo: string, digest: Digest): Promise<Descriptor[]>;
}

/** A source that can be written. Each write is complete and durable when its promise resolves, or has not happened. */
export interface ContentStore extends ContentSource {
  /** Reads `body` to its end (or cancels it) and files it, if it has the size and the digest of `expected`. */
  writeBlob(repo: string, expected: Descriptor, body: ReadableStream<Uint8Array>): Promise<void>;
  /** Files a manifest, and grants the repository the blobs that it names. */
  writeManifest(repo: string, expected: Descriptor, bytes: Uint8Array): Promise<void>;
  /** Points a tag at a manifest that the repository has. */
  tag(repo: string, tag: string, digest: Digest): Promise<void>;
}
