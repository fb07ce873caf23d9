import { computeDigest, type Digest, splitDigest } from "../oci/digest.ts";

// The layout of CNCF distribution's filesystem driver (registry/storage/paths.go there), so that each program can serve
// a folder that the other wrote.
const ROOT = "docker/registry/v2";

/** The folder that contains one folder per repository. */
export const REPOSITORIES = `${ROOT}/repositories`;
/** The folder that contains the blobs and manifests of all repositories. */
export const BLOBS = `${ROOT}/blobs`;
/** The folder of temporary files and partial files. */
export const INGEST = "ingest";
// Of the digest of a repository's name, in the name of a partial file: all 64 would be too long beside a sha512.
const OWNER_DIGITS = 32;

/** The folder of corrupt blobs that were moved out of the store. */
export const QUARANTINE = "quarantine";

/** The file that contains the bytes of a blob or manifest. */
export function blobPath(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${BLOBS}/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
}

/** The folder of a repository. */
export function repositoryPath(repo: string): string {
  return `${REPOSITORIES}/${repo}`;
}

/** The link that makes a manifest part of a repository. */
export function revisionLinkPath(repo: string, digest: Digest): string {
  return `${revisionsPath(repo)}/${linkOf(digest)}`;
}

/** The folder of the links of a repository's manifests. */
export function revisionsPath(repo: string): string {
  return `${repositoryPath(repo)}/_manifests/revisions`;
}

/**
 * The file beside a manifest's link with the media type that its registry stated, if the manifest itself states none.
 * CNCF distribution ignores the file.
 *
 * @returns `undefined` for any other path than that of a manifest's link
 */
export function mediaTypePath(revisionLink: string): string | undefined {
  const match = /^(.*\/_manifests\/revisions\/[^/]+\/[^/]+\/)link$/.exec(revisionLink);
  return match === null ? undefined : `${match[1]}media-type`;
}

/**
 * The file beside a manifest's link that marks a manifest as fetched from an upstream, so that it grants no blobs. CNCF
 * distribution ignores the file.
 *
 * @returns `undefined` for any other path than that of a manifest's link
 */
export function fetchedMarkPath(revisionLink: string): string | undefined {
  return mediaTypePath(revisionLink)?.replace(/media-type$/, "fetched");
}

/** The link that grants a repository access to a blob. */
export function layerLinkPath(repo: string, digest: Digest): string {
  return `${layersPath(repo)}/${linkOf(digest)}`;
}

/** The folder of the links of a repository's blobs. */
export function layersPath(repo: string): string {
  return `${repositoryPath(repo)}/_layers`;
}

/** The folder of a repository's tags. */
export function tagsPath(repo: string): string {
  return `${repositoryPath(repo)}/_manifests/tags`;
}

/** The link to the manifest that a tag refers to now. */
export function tagLinkPath(repo: string, tag: string): string {
  return `${tagsPath(repo)}/${tag}/current/link`;
}

/** The link that records that a tag refers, or once referred, to a manifest. */
export function tagIndexLinkPath(repo: string, tag: string, digest: Digest): string {
  return `${tagIndexPath(repo, tag)}/${linkOf(digest)}`;
}

/** The folder of the links that record the history of a tag. */
export function tagIndexPath(repo: string, tag: string): string {
  return `${tagsPath(repo)}/${tag}/index`;
}

/**
 * The partial file of a blob. Its name depends on the blob and the repository alone, so that a restarted process can
 * resume it.
 *
 * @param repo the repository whose clients may read the file before it is verified; absent for a file that none may read.
 *   Each has a file of its own: else a repository of another registry, which anyone may run, would give its clients what
 *   a private one has sent.
 */
export function partialPath(digest: Digest, repo?: string): string {
  const { algorithm, hex } = splitDigest(digest);
  const owner = repo === undefined ? "" : `.${splitDigest(computeDigest(repo)).hex.slice(0, OWNER_DIGITS)}`;
  return `${INGEST}/${algorithm}-${hex}${owner}.partial`;
}

/** Returns the digest in the name of a partial file; `undefined` for any other file of the ingest folder. */
export function digestOfPartial(fileName: string): string | undefined {
  const match = /^(sha256|sha384|sha512)-([0-9a-f]+)(?:\.[0-9a-f]{32})?\.partial$/.exec(fileName);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

/** Makes the path of a new temporary file in a data folder. The next start of the registry removes what is left of it. */
export function temporaryPath(root: string): string {
  return `${root}/${INGEST}/${crypto.randomUUID()}.tmp`;
}

/** The sparse file into which the pieces of a blob are written. */
export function piecesPath(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${INGEST}/${algorithm}-${hex}.pieces`;
}

/** The file that records which byte ranges of the sparse file are valid. */
export function pieceListPath(digest: Digest): string {
  return `${piecesPath(digest)}.json`;
}

/** Returns the digest in the name of a file of pieces, or of their list; `undefined` for any other file. */
export function digestOfPieces(fileName: string): string | undefined {
  const match = /^(sha256|sha384|sha512)-([0-9a-f]+)\.pieces(?:\.json)?$/.exec(fileName);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

function linkOf(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${algorithm}/${hex}/link`;
}
