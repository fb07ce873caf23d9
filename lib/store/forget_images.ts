import { ifPresent } from "../files/if_present.ts";
import { subjectOfCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { revisionLinkPath, tagLinkPath, tagsPath } from "./layout.ts";
import { readLinkText } from "./links.ts";
import { ManifestReader } from "./manifest_reader.ts";
import { markReachable } from "./reachable.ts";
import { repositoryNames } from "./repository_names.ts";
import { readContents, type RepositoryContents } from "./store_scan.ts";
import { emptyTrash, moveAside, moveBack, removeEmptyFolders, removeFile } from "./trash.ts";

/** An image to remove. */
export interface UnwantedImage {
  /** `docker.io/library/nginx` */
  readonly repository: string;
  /** The tag to remove, if it still refers to the digest. */
  readonly tag?: string | undefined;
  readonly digest: Digest;
}

/** Lists the tags that `forgetImages` would remove, as `repository:tag`, sorted. */
export function listForgotten(root: string, images: readonly UnwantedImage[]): string[] {
  const set = [...listOwnTags(root, images)].filter(({ isSet }) => isSet);
  return [...new Set(set.map(({ reference }) => reference))].sort();
}

/** The tags of images that refer to nothing else; those without a link are what an interrupted removal left. */
function* listOwnTags(root: string, images: readonly UnwantedImage[]) {
  for (const { repository, tag, digest } of images) {
    if (tag === undefined) continue;
    for (const name of repositoryNames(repository)) {
      const link = readLinkText(`${root}/${tagLinkPath(name, tag)}`);
      if (link !== undefined && link !== digest) continue;
      yield { name, tag, reference: `${repository}:${tag}`, isSet: link !== undefined };
    }
  }
}

/**
 * Removes the links of images from a data folder: tags that still refer to them, and manifests that nothing else
 * references, with what is attached to these. The next garbage collection then removes the blobs that only these images needed. Must be called with a
 * write lease.
 *
 * @param root the data folder
 * @param keep digests that are needed although no repository may reference them
 * @returns the removed tags of `images` as `repository:tag`, sorted
 */
export async function forgetImages(
  root: string,
  images: readonly UnwantedImage[],
  keep: ReadonlySet<Digest>,
): Promise<string[]> {
  const untagged = new Set<string>();
  for (const { name, tag, reference, isSet } of listOwnTags(root, images)) {
    await removeTag(root, name, tag);
    if (isSet) untagged.add(reference);
  }
  const unwanted = Map.groupBy(images, ({ repository }) => repository);
  const reader = new ManifestReader(root);
  const moved: { path: string; repository: string; digest: Digest }[] = [];
  for (const [repository, group] of unwanted) {
    const all = contentsOf(root, repository);
    const going = await markReachable({ roots: group.map(({ digest }) => digest), read: (it) => reader.read(it) });
    const needed = await markNeeded(all, { going, keep, reader });
    for (const { name, manifests } of all) {
      for (const digest of manifests) {
        const path = revisionLinkPath(name, digest);
        if (!going.has(digest) || needed.has(digest) || !await moveAside(root, path)) continue;
        moved.push({ path, repository, digest });
      }
    }
  }
  // Moves back manifests that a server or another command has tagged in the meantime.
  for (const [repository, group] of Map.groupBy(moved, ({ repository }) => repository)) {
    const going = new Set(group.map(({ digest }) => digest));
    const needed = await markNeeded(contentsOf(root, repository), { going, keep, reader });
    for (const { path, digest } of group) if (needed.has(digest)) await moveBack(root, path);
  }
  await emptyTrash(root);
  const attached = await listAttached(root, moved, reader);
  if (attached.length > 0) await forgetImages(root, attached, keep);
  return [...untagged].sort();
}

/** Lists what is attached to manifests that were removed from their repository: by a tag of cosign, or as their subject. */
async function listAttached(
  root: string,
  removed: readonly { readonly repository: string; readonly digest: Digest }[],
  reader: ManifestReader,
): Promise<UnwantedImage[]> {
  const attached: UnwantedImage[] = [];
  for (const [repository, group] of Map.groupBy(removed, ({ repository }) => repository)) {
    const contents = contentsOf(root, repository);
    const left = new Set(contents.flatMap(({ manifests }) => manifests));
    const gone = new Set(group.map(({ digest }) => digest).filter((digest) => !left.has(digest)));
    if (gone.size === 0) continue;
    for (const { tag, digest } of contents.flatMap(({ tags }) => tags)) {
      const subject = subjectOfCosignTag(tag);
      if (subject !== undefined && gone.has(subject)) attached.push({ repository, tag, digest });
    }
    for (const digest of left) {
      const subject = (await reader.read(digest))?.subject;
      if (subject !== undefined && gone.has(subject)) attached.push({ repository, digest });
    }
  }
  return attached;
}

// Removes the current link first: without it, the tag's history has no effect.
async function removeTag(root: string, repository: string, tag: string): Promise<void> {
  await removeFile(root, tagLinkPath(repository, tag));
  const folder = `${tagsPath(repository)}/${tag}`;
  await ifPresent(Deno.remove(`${root}/${folder}`, { recursive: true }));
  removeEmptyFolders(root, folder);
}

/** Lists the contents of a repository, under each name that it is filed under. */
function contentsOf(root: string, repository: string): RepositoryContents[] {
  return repositoryNames(repository).map((name) => readContents(root, name));
}

// Every manifest that is not to be removed counts as needed, tagged or not.
async function markNeeded(
  contents: readonly RepositoryContents[],
  { going, keep, reader }: { going: ReadonlySet<Digest>; keep: ReadonlySet<Digest>; reader: ManifestReader },
): Promise<Set<Digest>> {
  const roots = contents.flatMap(({ tags, manifests }) => [
    ...tags.map(({ digest }) => digest),
    ...manifests.filter((digest) => !going.has(digest)),
  ]);
  return await markReachable({ roots: [...roots, ...keep], read: (digest) => reader.read(digest) });
}
