import { Turns } from "../bytes/turns.ts";
import { listFoldersSync } from "../files/folder_scan.ts";
import { ifPresentSync } from "../files/if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { DEFAULT_HOST, isHostSegment } from "../oci/reference.ts";
import type { TagLink } from "./blob_store.ts";
import {
  blobPath,
  BLOBS,
  layersPath,
  REPOSITORIES,
  repositoryPath,
  revisionLinkPath,
  revisionsPath,
  tagIndexPath,
  tagLinkPath,
} from "./layout.ts";
import { readLinkText } from "./links.ts";
import { listLinkDigests, listTagFolders } from "./list_repositories.ts";

/** The links of one repository. */
export interface RepositoryContents {
  readonly name: string;
  /** Manifests that the tags refer to. A tag with a torn link counts as referring to every manifest in its history. */
  readonly tags: readonly TagLink[];
  readonly manifests: readonly Digest[];
  readonly layers: readonly Digest[];
  /** Names of the tags, also of those without a link; `undefined` if they were not read. */
  readonly tagNames: readonly string[] | undefined;
  /**
   * Whether the repository has nothing unusual: no tag without a link or with a torn one, no folder of a manifest
   * without a link, and only sha256.
   */
  readonly isRegular: boolean;
}

// Folders are read synchronously: another thread would cost ten times as much as the few entries that most of them have.
const LINKS = { refusesLinks: true };

/**
 * Lists the names of all repositories, including those without a manifest.
 *
 * @param list lists the folders in the folder of a name; by default `listNameFolders`
 * @throws {Error} when there is a symbolic link, since the folder behind it could reference any blob
 */
export async function* walkNames(
  root: string,
  list = (name: string): readonly string[] => listNameFolders(root, name),
): AsyncGenerator<string> {
  const turns = new Turns();
  async function* walk(name: string): AsyncGenerator<string> {
    await turns.next();
    const entries = list(name);
    if (entries.includes("_manifests") || entries.includes("_layers")) yield name;
    for (const entry of entries) {
      if (!entry.startsWith("_")) yield* walk(name === "" ? entry : `${name}/${entry}`);
    }
  }
  yield* walk("");
}

/** Lists the folders in the folder of a name, which need not be that of a repository; `""` is above all names. */
export function listNameFolders(root: string, name: string): string[] {
  return listFoldersSync(`${root}/${nameFolder(name)}`, LINKS);
}

/** The folder of a name; `""` is above all names. */
export function nameFolder(name: string): string {
  return name === "" ? REPOSITORIES : repositoryPath(name);
}

/** Options of `readContents`. */
interface ContentsOptions {
  /** Whether the tags of a repository that has manifests are not read, since all its manifests count anyway. */
  readonly omitsTags?: boolean;
}

/** Reads the links of a repository. @throws {Error} as `walkNames` */
export function readContents(
  root: string,
  name: string,
  { omitsTags = false }: ContentsOptions = {},
): RepositoryContents {
  const manifests: Digest[] = [];
  let isRegular = true;
  for (const digest of listLinkDigests(`${root}/${revisionsPath(name)}`, LINKS)) {
    const isPresent = sizeOfFile(`${root}/${revisionLinkPath(name, digest)}`) !== undefined;
    if (isPresent) manifests.push(digest);
    if (!isPresent || !digest.startsWith("sha256:")) isRegular = false;
  }
  const tags: TagLink[] = [];
  // Without any manifest the tags are all that is known about the repository, which may be damaged.
  const tagNames = omitsTags && manifests.length > 0 ? undefined : listTagFolders(root, name, LINKS);
  for (const tag of tagNames ?? []) {
    const link = readLinkText(`${root}/${tagLinkPath(name, tag)}`);
    if (link !== undefined && isDigest(link)) {
      tags.push({ tag, digest: link });
      continue;
    }
    isRegular = false;
    if (link !== undefined) tags.push(...listHistory(root, name, tag));
  }
  const layers = listLinkDigests(`${root}/${layersPath(name)}`, LINKS);
  return { name, tags, manifests, layers, tagNames, isRegular };
}

/** Lists the manifests that the tags of a repository refer to, or once referred to. */
export function listHistories(root: string, name: string): TagLink[] {
  return listTagFolders(root, name, LINKS).flatMap((tag) => listHistory(root, name, tag));
}

/** Yields the digests of all files under `blobs`, intact or not, sorted by code unit. */
export async function* listBlobs(root: string): AsyncGenerator<Digest> {
  const turns = new Turns();
  for (const algorithm of listFoldersSync(`${root}/${BLOBS}`)) {
    for (const prefix of listFoldersSync(`${root}/${BLOBS}/${algorithm}`)) {
      for (const hex of listFoldersSync(`${root}/${BLOBS}/${algorithm}/${prefix}`)) {
        await turns.next();
        const digest = `${algorithm}:${hex}`;
        // In the folder of another prefix, a file is not found by its digest.
        if (isDigest(digest) && hex.slice(0, 2) === prefix) yield digest;
      }
    }
  }
}

/** Lists the sizes of all blobs in a store, in bytes. */
export async function listBlobSizes(root: string): Promise<Map<Digest, number>> {
  const sizes = new Map<Digest, number>();
  for await (const digest of listBlobs(root)) {
    const size = sizeOfFile(`${root}/${blobPath(digest)}`);
    if (size !== undefined) sizes.set(digest, size);
  }
  return sizes;
}

/** Returns the total size of all blobs in a store, in bytes. */
export async function sumBlobSizes(root: string): Promise<number> {
  let sum = 0;
  for await (const digest of listBlobs(root)) sum += sizeOfFile(`${root}/${blobPath(digest)}`) ?? 0;
  return sum;
}

/** Returns the canonical name of a repository that is filed under any of its names; see `repositoryNames`. */
export function canonicalName(name: string): string {
  const [first = ""] = name.split("/", 1);
  if (isHostSegment(first) && first !== name) return name.replace(/^([^/]+):443\//, "$1/");
  return first === name ? `${DEFAULT_HOST}/library/${name}` : `${DEFAULT_HOST}/${name}`;
}

/** Returns the size of a file in bytes; `undefined` if it is missing, or not a regular file. */
export function sizeOfFile(path: string): number | undefined {
  const file = ifPresentSync(() => Deno.lstatSync(path));
  return file?.isFile ? file.size : undefined;
}

function listHistory(root: string, name: string, tag: string): TagLink[] {
  return listLinkDigests(`${root}/${tagIndexPath(name, tag)}`, LINKS).map((digest) => ({ tag, digest }));
}
