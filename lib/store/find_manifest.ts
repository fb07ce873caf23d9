import { type Digest, isDigest } from "../oci/digest.ts";
import { isTag } from "../oci/reference.ts";
import type { CachedManifest } from "./manifest_cache.ts";
import { repositoryNames } from "./repository_names.ts";

/** Reads a manifest that is filed under exactly this repository name; `undefined` if there is none. */
type LoadManifest = (name: string, digest: Digest) => Promise<CachedManifest | undefined>;

/** How a store reads what is filed under one repository name. */
export interface FiledManifests {
  readonly load: LoadManifest;
  /** Reads what a tag refers to. */
  readonly readTag: (name: string, tag: string) => Digest | undefined | Promise<Digest | undefined>;
}

/** Finds a manifest under any of the names of its repository. */
export function findManifest(repo: string, digest: Digest, load: LoadManifest): Promise<CachedManifest | undefined> {
  return findUnder(repositoryNames(repo), digest, load);
}

/** Finds what a tag or a digest refers to, under any of the names of the repository. */
export async function resolveManifest(
  repo: string,
  tagOrDigest: string,
  { load, readTag }: FiledManifests,
): Promise<CachedManifest | undefined> {
  const names = repositoryNames(repo);
  if (isDigest(tagOrDigest)) return await findUnder(names, tagOrDigest, load);
  if (!isTag(tagOrDigest)) return undefined;
  for (const name of names) {
    const digest = await readTag(name, tagOrDigest);
    // The tag may be linked under another of the repository's names than the manifest it refers to.
    const manifest = digest && await findUnder([name, ...names], digest, load);
    if (manifest) return manifest;
  }
  return undefined;
}

async function findUnder(
  names: readonly string[],
  digest: Digest,
  load: LoadManifest,
): Promise<CachedManifest | undefined> {
  for (const name of names) {
    const manifest = await load(name, digest);
    if (manifest !== undefined) return manifest;
  }
  return undefined;
}
