import type { Digest } from "../oci/digest.ts";
import { revisionLinkPath, tagLinkPath, tagsPath } from "./layout.ts";
import { readLinkText } from "./links.ts";
import { markReachable } from "./reachable.ts";
import { canonicalName, listRepositoryContents, ManifestReader, type RepositoryContents } from "./store_scan.ts";
import { emptyTrash, moveAside, moveBack, removeEmptyFolders, removeFile } from "./trash.ts";

/** An image that nobody wants any more. */
export interface UnwantedImage {
  /** `docker.io/library/nginx` */
  readonly repository: string;
  /** The tag that goes, if it still stands for the digest. */
  readonly tag?: string | undefined;
  readonly digest: Digest;
}

/**
 * Takes images out of a data folder, so that the next collection can remove what only they needed: their tags, where
 * these still stand for them, and their manifests, where nothing else needs these. To be called with a write lease.
 *
 * @param root the data folder
 * @param keep what is needed although no repository may say so
 * @returns the tags that went, as `repository:tag`, sorted
 */
export async function forgetImages(
  root: string,
  images: readonly UnwantedImage[],
  keep: ReadonlySet<Digest>,
): Promise<string[]> {
  const untagged = new Set<string>();
  for (const { repository, tag, digest } of images) {
    const link = tag === undefined ? tag : readLinkText(`${root}/${tagLinkPath(repository, tag)}`);
    if (tag === undefined || link !== undefined && link !== digest) continue;
    await removeTag(root, repository, tag);
    if (link !== undefined) untagged.add(`${repository}:${tag}`);
  }
  const unwanted = Map.groupBy(images, ({ repository }) => repository);
  const reader = new ManifestReader(root);
  const moved: { path: string; repository: string; digest: Digest }[] = [];
  for (const [repository, group] of unwanted) {
    const all = await contentsOf(root, repository);
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
  // What was tagged meanwhile, by a server or another command, stays.
  for (const [repository, group] of Map.groupBy(moved, ({ repository }) => repository)) {
    const going = new Set(group.map(({ digest }) => digest));
    const needed = await markNeeded(await contentsOf(root, repository), { going, keep, reader });
    for (const { path, digest } of group) if (needed.has(digest)) await moveBack(root, path);
  }
  await emptyTrash(root);
  return [...untagged].sort();
}

// The link first: what a tag once stood for, without it, stands for nothing.
async function removeTag(root: string, repository: string, tag: string): Promise<void> {
  await removeFile(root, tagLinkPath(repository, tag));
  const folder = `${tagsPath(repository)}/${tag}`;
  try {
    await Deno.remove(`${root}/${folder}`, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await removeEmptyFolders(root, folder);
}

/** A repository under each of the names that it has. */
async function contentsOf(root: string, repository: string): Promise<RepositoryContents[]> {
  return (await listRepositoryContents(root)).filter(({ name }) => canonicalName(name) === repository);
}

// What a repository has besides what goes, it has for some reason.
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
