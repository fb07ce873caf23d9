import { parentOf, syncFolder } from "../files/durable.ts";
import type { Digest } from "../oci/digest.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagIndexLinkPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import { readLinkText } from "../store/links.ts";
import { type ManifestLinks, markReachable } from "../store/reachable.ts";
import { listRepositoryContents } from "../store/store_scan.ts";
import { removeFile } from "../store/trash.ts";

/** An image, wherever the store has it: a manifest that a tag or nothing but a client names, with all below it. */
export interface EvictableImage {
  readonly root: Digest;
  readonly tags: readonly { readonly repo: string; readonly tag: string }[];
  /** Links of it and of the manifests below it. */
  readonly revisions: readonly { readonly repo: string; readonly digest: Digest }[];
  /** It, its manifests, what refers to them, configs and layers; also those that are not here. */
  readonly digests: ReadonlySet<Digest>;
  /** Whether it can be pulled: all of a manifest, of an index at least one of its manifests. */
  readonly isWhole: boolean;
}

type Read = (digest: Digest) => Promise<ManifestLinks | undefined>;

/** Lists the images of a store. @param sizes of the blobs that it holds, in bytes */
export async function listCacheImages(
  root: string,
  read: Read,
  sizes: ReadonlyMap<Digest, number>,
): Promise<EvictableImage[]> {
  const readHeld = (digest: Digest) => sizes.has(digest) ? read(digest) : Promise.resolve(undefined);
  const tags = new Map<Digest, { repo: string; tag: string }[]>();
  const revisions = new Map<Digest, string[]>();
  for (const { name: repo, tags: links, manifests } of await listRepositoryContents(root)) {
    for (const { tag, digest } of links) append(tags, digest, { repo, tag });
    for (const digest of manifests) append(revisions, digest, repo);
  }
  const referrers = new Map<Digest, Digest[]>();
  const parts = new Set<Digest>();
  for (const digest of revisions.keys()) {
    const links = await readHeld(digest);
    for (const child of links?.manifests ?? []) parts.add(child);
    if (links?.subject === undefined || !revisions.has(links.subject)) continue;
    append(referrers, links.subject, digest);
    parts.add(digest);
  }
  const roots = new Set([...tags.keys(), ...[...revisions.keys()].filter((digest) => !parts.has(digest))]);
  return await Promise.all([...roots].map(async (digest) => {
    const digests = await markReachable({
      roots: [digest],
      read: readHeld,
      referrersOf: (subject) => referrers.get(subject) ?? [],
    });
    return {
      root: digest,
      tags: tags.get(digest) ?? [],
      revisions: [...digests].flatMap((each) => (revisions.get(each) ?? []).map((repo) => ({ repo, digest: each }))),
      digests,
      isWhole: await isWhole(digest, readHeld, sizes),
    };
  }));
}

/** What removing an image has to know. */
export interface RemoveOptions {
  /** Whether something of it is needed by others. */
  readonly stays: (digest: Digest) => boolean;
  /** Told of each manifest that is gone. */
  readonly onManifest: (repo: string, digest: Digest) => void;
  /** Told of each blob that is gone. */
  readonly onBlob: (digest: Digest) => void;
}

/**
 * Removes an image: tags first, then manifests, blobs last, so that what is cut off in the middle leaves no tag on
 * something that is not there.
 */
export async function removeImage(
  root: string,
  image: EvictableImage,
  { stays, onManifest, onBlob }: RemoveOptions,
): Promise<void> {
  for (const { repo, tag } of image.tags) {
    const path = tagLinkPath(repo, tag);
    // Looked at and removed in one go: the tag may have moved on meanwhile.
    if (readLinkText(`${root}/${path}`) !== image.root) continue;
    Deno.removeSync(`${root}/${path}`);
    await removeFile(root, tagIndexLinkPath(repo, tag, image.root));
    await removeFile(root, path);
    await syncNearest(`${root}/${tagsPath(repo)}/${tag}`);
  }
  const gone = [...image.digests].filter((digest) => !stays(digest));
  for (const { repo, digest } of image.revisions) {
    if (stays(digest)) continue;
    await removeFile(root, revisionLinkPath(repo, digest));
    onManifest(repo, digest);
  }
  for (const repo of new Set(image.revisions.map(({ repo }) => repo))) {
    for (const digest of gone) await removeFile(root, layerLinkPath(repo, digest));
  }
  for (const digest of gone) {
    // Asked once more: it may be needed by now.
    if (stays(digest)) continue;
    await removeFile(root, blobPath(digest));
    onBlob(digest);
  }
}

async function isWhole(digest: Digest, read: Read, sizes: ReadonlyMap<Digest, number>): Promise<boolean> {
  const links = await read(digest);
  if (links === undefined) return false;
  if (links.manifests.length === 0) return links.blobs.every(({ digest, size }) => sizes.get(digest) === size);
  for (const child of links.manifests) if (await isWhole(child, read, sizes)) return true;
  return false;
}

// The folder that the removed entry was in, or the one that this folder was removed from.
async function syncNearest(folder: string): Promise<void> {
  try {
    await syncFolder(folder);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await syncNearest(parentOf(folder));
  }
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key);
  if (values === undefined) map.set(key, [value]);
  else values.push(value);
}
