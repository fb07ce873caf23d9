import { append } from "../content/append.ts";
import { syncFolder } from "../files/durable.ts";
import { ifPresent } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import { subjectOfCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { blobPath, layerLinkPath, revisionLinkPath, tagIndexLinkPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import { readLinkText } from "../store/links.ts";
import { type ManifestLinks, markReachable } from "../store/reachable.ts";
import { readContents, walkNames } from "../store/store_scan.ts";
import { removeFile } from "../store/trash.ts";

/**
 * An image in any repositories of a store: a manifest that is tagged, or that no other manifest references, with all
 * its content. What a tag of cosign's scheme attaches to a manifest of its repository belongs to that manifest.
 */
export interface EvictableImage {
  readonly root: Digest;
  readonly tags: readonly { readonly repo: string; readonly tag: string }[];
  /** The tags of its referrers, and the digest that each refers to. */
  readonly referrerTags: readonly ReferrerTag[];
  /** Links to its manifests. */
  readonly revisions: readonly { readonly repo: string; readonly digest: Digest }[];
  /** Digests of its manifests, their referrers, configs and layers, including content that the store does not have. */
  readonly digests: ReadonlySet<Digest>;
  /** Whether it can be pulled: the store has all blobs of a manifest, or of at least one manifest of an index. */
  readonly isComplete: boolean;
}

/** A tag of cosign's scheme. */
interface ReferrerTag {
  readonly repo: string;
  readonly tag: string;
  readonly digest: Digest;
}

type Read = (digest: Digest) => Promise<ManifestLinks | undefined>;

/**
 * Lists the images of a store.
 *
 * @param root the data folder
 * @param read reads the references of a manifest
 * @param sizes sizes of the blobs in the store, in bytes
 */
export async function listEvictableImages(
  root: string,
  read: Read,
  sizes: ReadonlyMap<Digest, number>,
): Promise<EvictableImage[]> {
  const readHeld = (digest: Digest) => sizes.has(digest) ? read(digest) : Promise.resolve(undefined);
  const tags = new Map<Digest, { repo: string; tag: string }[]>();
  const revisions = new Map<Digest, string[]>();
  const referrers = new Map<Digest, Digest[]>();
  const referrerTags = new Map<Digest, ReferrerTag[]>();
  const children = new Set<Digest>();
  for await (const repo of walkNames(root)) {
    const { tags: links, manifests } = readContents(root, repo);
    const own = new Set(manifests);
    for (const { tag, digest } of links) {
      const subject = subjectOfCosignTag(tag);
      if (subject === undefined || !own.has(subject) || subject === digest) append(tags, digest, { repo, tag });
      else {
        append(referrers, subject, digest);
        append(referrerTags, digest, { repo, tag, digest });
        children.add(digest);
      }
    }
    for (const digest of manifests) append(revisions, digest, repo);
  }
  for (const digest of revisions.keys()) {
    const links = await readHeld(digest);
    for (const child of links?.manifests ?? []) children.add(child);
    if (links?.subject === undefined || !revisions.has(links.subject)) continue;
    append(referrers, links.subject, digest);
    children.add(digest);
  }
  const roots = new Set([...tags.keys(), ...[...revisions.keys()].filter((digest) => !children.has(digest))]);
  const isComplete = createCompletenessCheck(readHeld, sizes);
  return await Promise.all([...roots].map(async (digest) => {
    const digests = await markReachable({
      roots: [digest],
      read: readHeld,
      referrersOf: (subject) => referrers.get(subject) ?? [],
    });
    return {
      root: digest,
      tags: tags.get(digest) ?? [],
      referrerTags: [...digests].flatMap((each) => referrerTags.get(each) ?? []),
      revisions: [...digests].flatMap((each) => (revisions.get(each) ?? []).map((repo) => ({ repo, digest: each }))),
      digests,
      isComplete: await isComplete(digest),
    };
  }));
}

/** Options of `removeImage`. */
export interface RemoveOptions {
  /** Reports whether content of the image is needed elsewhere. Called again just before each removal. */
  readonly isNeeded: (digest: Digest) => boolean;
  /** Called after a manifest was removed from a repository. */
  readonly onManifest: (repo: string, digest: Digest) => void;
  /** Called after a blob was removed. */
  readonly onBlob: (digest: Digest) => void;
}

/**
 * Removes an image: tags first, then manifests, and blobs last, so that an interrupted removal leaves no tag that
 * refers to a missing manifest.
 */
export async function removeImage(
  root: string,
  image: EvictableImage,
  { isNeeded, onManifest, onBlob }: RemoveOptions,
): Promise<void> {
  const referrerTags = image.referrerTags.filter(({ digest }) => !isNeeded(digest));
  for (const { repo, tag, digest } of [...image.tags.map((it) => ({ ...it, digest: image.root })), ...referrerTags]) {
    const path = tagLinkPath(repo, tag);
    // Read and removed synchronously, so that the tag cannot be moved in between.
    if (readLinkText(`${root}/${path}`) !== digest) continue;
    Deno.removeSync(`${root}/${path}`);
    await removeFile(root, tagIndexLinkPath(repo, tag, digest));
    await removeFile(root, path);
    await syncNearest(`${root}/${tagsPath(repo)}/${tag}`);
  }
  const gone = [...image.digests].filter((digest) => !isNeeded(digest));
  for (const { repo, digest } of image.revisions) {
    if (isNeeded(digest)) continue;
    await removeFile(root, revisionLinkPath(repo, digest));
    onManifest(repo, digest);
  }
  for (const repo of new Set(image.revisions.map(({ repo }) => repo))) {
    for (const digest of gone) await removeFile(root, layerLinkPath(repo, digest));
  }
  for (const digest of gone) {
    // Checked again: it may be needed by now.
    if (isNeeded(digest)) continue;
    await removeFile(root, blobPath(digest));
    onBlob(digest);
  }
}

/** Creates the check of `EvictableImage.isComplete`. Each manifest is checked once: indexes may share entries, and nest. */
function createCompletenessCheck(read: Read, sizes: ReadonlyMap<Digest, number>): (digest: Digest) => Promise<boolean> {
  const checked = new Map<Digest, Promise<boolean>>();
  const check = (digest: Digest): Promise<boolean> => {
    const known = checked.get(digest) ?? isComplete(digest);
    checked.set(digest, known);
    return known;
  };
  const isComplete = async (digest: Digest): Promise<boolean> => {
    const links = await read(digest);
    if (links === undefined) return false;
    if (!links.blobs.every(({ digest, size }) => sizes.get(digest) === size)) return false;
    const blobs = new Set(links.blobs.map(({ digest }) => digest));
    const children = links.manifests.filter((child) => !blobs.has(child));
    for (const child of children) if (await check(child)) return true;
    return children.length === 0;
  };
  return check;
}

// Syncs a folder, or the nearest one above it that still exists.
async function syncNearest(folder: string): Promise<void> {
  const isSynced = await ifPresent(syncFolder(folder).then(() => true));
  if (isSynced === undefined) await syncNearest(parentOf(folder));
}
