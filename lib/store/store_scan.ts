import { listFolder } from "../files/read_if_present.ts";
import { computeDigest, type Digest, isDigest, splitDigest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { isManifestType, MAX_MANIFEST_BYTES, parseManifest, successorsOf } from "../oci/manifest.ts";
import { DEFAULT_HOST, isHostSegment, isTag } from "../oci/reference.ts";
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
  tagsPath,
} from "./layout.ts";
import { readLinkText } from "./links.ts";
import type { ManifestLinks } from "./reachable.ts";

/** A tag, and a manifest that it refers or once referred to. */
export interface TagLink {
  readonly tag: string;
  readonly digest: Digest;
}

/** The links of one repository. */
export interface RepositoryContents {
  readonly name: string;
  /** Manifests that the tags refer to. A tag with a torn link counts as referring to every manifest in its history. */
  readonly tags: readonly TagLink[];
  /** Manifests that the tags refer to, or once referred to. */
  readonly history: readonly TagLink[];
  readonly manifests: readonly Digest[];
  readonly layers: readonly Digest[];
}

/**
 * Reads the links of all repositories, including those without a manifest.
 *
 * @throws {Error} when there is a symbolic link, since the folder behind it could reference any blob
 */
export async function listRepositoryContents(root: string): Promise<RepositoryContents[]> {
  const found: RepositoryContents[] = [];
  const walk = async (name: string) => {
    const entries = await listFolders(`${root}/${name === "" ? REPOSITORIES : repositoryPath(name)}`);
    if (entries.includes("_manifests") || entries.includes("_layers")) found.push(await readRepository(root, name));
    for (const entry of entries) {
      if (!entry.startsWith("_")) await walk(name === "" ? entry : `${name}/${entry}`);
    }
  };
  await walk("");
  return found;
}

/** Lists the digests of all files under `blobs`, intact or not. */
export async function* listBlobs(root: string): AsyncGenerator<Digest> {
  for (const algorithm of await listBlobFolders(`${root}/${BLOBS}`)) {
    for (const prefix of await listBlobFolders(`${root}/${BLOBS}/${algorithm}`)) {
      for (const hex of await listBlobFolders(`${root}/${BLOBS}/${algorithm}/${prefix}`)) {
        const digest = `${algorithm}:${hex}`;
        if (isDigest(digest)) yield digest;
      }
    }
  }
}

/** Lists the sizes of all blobs in a store, in bytes. */
export async function listBlobSizes(root: string): Promise<Map<Digest, number>> {
  const sizes = new Map<Digest, number>();
  for await (const digest of listBlobs(root)) {
    const size = await sizeOfFile(`${root}/${blobPath(digest)}`);
    if (size !== undefined) sizes.set(digest, size);
  }
  return sizes;
}

/** Returns the canonical name of a repository. A folder that CNCF distribution wrote may have it without the host. */
export function canonicalName(name: string): string {
  const [first = ""] = name.split("/", 1);
  if (isHostSegment(first) && first !== name) return name;
  return first === name ? `${DEFAULT_HOST}/library/${name}` : `${DEFAULT_HOST}/${name}`;
}

/** Reads what manifests reference, and caches it. */
export class ManifestReader {
  readonly #root: string;
  readonly #places: readonly ((digest: Digest) => string)[];
  // Never stale: a digest fixes the content.
  readonly #known = new Map<Digest, ManifestLinks>();

  /** @param places functions that return the paths where a manifest may be, relative to the data folder */
  constructor(root: string, places: readonly ((digest: Digest) => string)[] = [blobPath]) {
    this.#root = root;
    this.#places = places;
  }

  /** Reads what a manifest references; `undefined` if it is missing, corrupt, or not a manifest. */
  async read(digest: Digest): Promise<ManifestLinks | undefined> {
    const known = this.#known.get(digest);
    if (known !== undefined) return known;
    const bytes = await this.#readBytes(digest);
    const links = bytes && readLinks(bytes, digest);
    if (links !== undefined) this.#known.set(digest, links);
    return links;
  }

  /** Drops a removed manifest from the cache. */
  forget(digest: Digest): void {
    this.#known.delete(digest);
  }

  async #readBytes(digest: Digest): Promise<Uint8Array | undefined> {
    for (const place of this.#places) {
      const path = `${this.#root}/${place(digest)}`;
      const size = await sizeOfFile(path);
      if (size === undefined || size > MAX_MANIFEST_BYTES) continue;
      try {
        if (await startsLikeJson(path)) return await Deno.readFile(path);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return undefined;
  }
}

/** Returns the size of a file in bytes; `undefined` if it is missing, or not a regular file. */
export async function sizeOfFile(path: string): Promise<number | undefined> {
  try {
    const { isFile, size } = await Deno.lstat(path);
    return isFile ? size : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw error;
  }
}

function readLinks(bytes: Uint8Array, digest: Digest): ManifestLinks | undefined {
  // The digest is verified, because a flipped bit could change the references.
  if (computeDigest(bytes, splitDigest(digest).algorithm) !== digest) return undefined;
  try {
    const manifest = parseManifest(bytes);
    const entries = successorsOf(manifest);
    const successors = entries.map(({ digest, size }) => ({ digest, size }));
    return {
      manifests: manifest.kind === "index" ? successors.map(({ digest }) => digest) : [],
      blobs: manifest.kind === "index"
        ? successors.filter((_, i) => !isManifestType(entries[i]!.mediaType))
        : successors,
      ...(manifest.subject === undefined ? {} : { subject: manifest.subject.digest }),
    };
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}

// Skips layers, which are among the content that packages need, without reading them whole.
async function startsLikeJson(path: string): Promise<boolean> {
  using file = await Deno.open(path);
  const first = new Uint8Array(1);
  return await file.read(first) !== null && "{ \t\r\n".includes(String.fromCharCode(first[0]!));
}

async function readRepository(root: string, name: string): Promise<RepositoryContents> {
  const tags: TagLink[] = [];
  const history: TagLink[] = [];
  for (const tag of (await listFolders(`${root}/${tagsPath(name)}`)).filter(isTag)) {
    const past = (await listLinks(`${root}/${tagIndexPath(name, tag)}`)).map((digest) => ({ tag, digest }));
    history.push(...past);
    const link = readLinkText(`${root}/${tagLinkPath(name, tag)}`);
    if (link === undefined) continue;
    tags.push(...(isDigest(link) ? [{ tag, digest: link }] : past));
  }
  const manifests = await listLinks(`${root}/${revisionsPath(name)}`);
  return {
    name,
    tags,
    history,
    manifests: manifests.filter((digest) => readLinkText(`${root}/${revisionLinkPath(name, digest)}`) !== undefined),
    layers: await listLinks(`${root}/${layersPath(name)}`),
  };
}

async function listLinks(folder: string): Promise<Digest[]> {
  const found: Digest[] = [];
  for (const algorithm of await listFolders(folder)) {
    for (const hex of await listFolders(`${folder}/${algorithm}`)) {
      const digest = `${algorithm}:${hex}`;
      if (isDigest(digest)) found.push(digest);
    }
  }
  return found;
}

async function listFolders(path: string): Promise<string[]> {
  const names: string[] = [];
  try {
    for await (const { name, isDirectory, isSymlink } of Deno.readDir(path)) {
      if (isSymlink) throw new Error(`Cannot scan ${path}/${name}: it is a symbolic link`);
      if (isDirectory) names.push(name);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return [];
    throw error;
  }
  return names.sort();
}

// Skips symbolic links. `listFolders` refuses them, because the folder behind one could reference any blob.
async function listBlobFolders(path: string): Promise<string[]> {
  return (await listFolder(path) ?? []).filter((entry) => entry.isDirectory).map(({ name }) => name).sort();
}
