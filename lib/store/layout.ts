import { type Digest, splitDigest } from "../oci/digest.ts";

// The folders of CNCF distribution's filesystem driver (its registry/storage/paths.go), so that either can serve
// what the other wrote.
const ROOT = "docker/registry/v2";

/** The folder that holds one folder a repository. */
export const REPOSITORIES = `${ROOT}/repositories`;
/** The folder that holds the content of all repositories. */
export const BLOBS = `${ROOT}/blobs`;
/** The folder of temporary files and partial downloads. */
export const INGEST = "ingest";

/** Where the bytes of a digest are. */
export function blobPath(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${BLOBS}/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
}

/** The folder of a repository. */
export function repositoryPath(repo: string): string {
  return `${REPOSITORIES}/${repo}`;
}

/** The link that says that a repository has a manifest. */
export function revisionLinkPath(repo: string, digest: Digest): string {
  return `${revisionsPath(repo)}/${linkOf(digest)}`;
}

/** The folder of the links of a repository's manifests. */
export function revisionsPath(repo: string): string {
  return `${repositoryPath(repo)}/_manifests/revisions`;
}

/** The link that says that a repository has a blob. */
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

/** The link that a tag is now. */
export function tagLinkPath(repo: string, tag: string): string {
  return `${tagsPath(repo)}/${tag}/current/link`;
}

/** The link that says that a tag was, or is, this manifest. */
export function tagIndexLinkPath(repo: string, tag: string, digest: Digest): string {
  return `${tagIndexPath(repo, tag)}/${linkOf(digest)}`;
}

/** The folder of the links that say what a tag was. */
export function tagIndexPath(repo: string, tag: string): string {
  return `${tagsPath(repo)}/${tag}/index`;
}

/** The file that a blob is downloaded into, named so that it is found again after a restart. */
export function partialPath(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${INGEST}/${algorithm}-${hex}.partial`;
}

/** The digest whose partial download a file of the ingest folder is. */
export function digestOfPartial(fileName: string): string | undefined {
  const match = /^(sha256|sha512)-([0-9a-f]+)\.partial$/.exec(fileName);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

/** The file that the pieces of a blob are put together in. */
export function piecesPath(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${INGEST}/${algorithm}-${hex}.pieces`;
}

/** The file that says which of the pieces count. */
export function pieceListPath(digest: Digest): string {
  return `${piecesPath(digest)}.json`;
}

/** The digest whose pieces, or list of them, a file of the ingest folder is. */
export function digestOfPieces(fileName: string): string | undefined {
  const match = /^(sha256|sha512)-([0-9a-f]+)\.pieces(?:\.json)?$/.exec(fileName);
  return match === null ? undefined : `${match[1]}:${match[2]}`;
}

function linkOf(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${algorithm}/${hex}/link`;
}
