import { mapInOrder } from "../content/map_in_order.ts";
import { subjectOfCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import type { TagLink } from "../store/blob_store.ts";
import { DigestSet } from "../store/digest_set.ts";
import type { UnwantedImage } from "../store/forget_images.ts";
import { revisionsPath } from "../store/layout.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { walkLinks } from "./mark_bucket.ts";
import type { ObjectManifests } from "./object_manifests.ts";
import type { ObjectTags } from "./object_tags.ts";
import type { S3Client } from "./s3_client.ts";

/** Options of `forgetBucketImages`. */
export interface ForgetOptions {
  readonly client: S3Client;
  readonly tags: ObjectTags;
  readonly manifests: ObjectManifests;
  /** What packages need, although no tag may refer to it. */
  readonly keep?: ReadonlySet<Digest>;
  /** Only lists the tags that would be removed. */
  readonly dryRun?: boolean;
}

const READS_AT_ONCE = 8;

/** A tag of what cosign has attached, with the name that its repository is filed under. */
interface AttachedLink extends TagLink {
  readonly name: string;
}

/**
 * Removes the tags of images from a bucket, if they still refer to them, and those of what cosign has attached to manifests
 * that no other tag or manifest reaches. The manifests stay until a garbage collection: another machine may be using them.
 *
 * @returns the removed tags of `images` as `repository:tag`, sorted
 */
export async function forgetBucketImages(images: readonly UnwantedImage[], options: ForgetOptions): Promise<string[]> {
  const { tags, dryRun = false } = options;
  const forgotten = new Set<string>();
  for (const [repository, group] of Map.groupBy(images, ({ repository }) => repository)) {
    // What is attached goes first: an interrupted removal is repeated as long as the image has its tag.
    const attached = dryRun ? [] : await listAttached(repository, group, options);
    try {
      for (const link of attached) await tags.remove(repository, link);
      for (const { tag, digest } of group) {
        if (tag === undefined) continue;
        if (await tags.remove(repository, { tag, digest }, { dryRun })) forgotten.add(`${repository}:${tag}`);
      }
    } catch (error) {
      // As far as the storage allows; the next attempt removes it again.
      await restoreAttached(repository, attached, options).catch(() => {});
      throw error;
    }
    await restoreAttached(repository, attached, options);
  }
  return [...forgotten].sort();
}

/** Writes back what is attached to manifests that a tag still reaches, or again: one that another machine has set. */
async function restoreAttached(
  repository: string,
  attached: readonly AttachedLink[],
  { tags, manifests }: ForgetOptions,
): Promise<void> {
  if (attached.length === 0) return;
  const links = (await Promise.all(repositoryNames(repository).map((name) => tags.listLinks(name)))).flat();
  const reached = new DigestSet();
  const reach = ({ digest }: TagLink) => manifests.reader.reach(digest, reached);
  let isReadable = true;
  for await (const isRead of mapInOrder(ReadableStream.from(links), READS_AT_ONCE, reach)) isReadable &&= isRead;
  for (const link of attached) {
    if (isReadable && !reached.has(subjectOfCosignTag(link.tag)!)) continue;
    await manifests.renew([link.name], link.digest);
    await tags.restore(link.name, link);
  }
}

/** Lists the tags of what cosign has attached to manifests that nothing but these images reaches. */
async function listAttached(
  repository: string,
  images: readonly UnwantedImage[],
  { client, tags, manifests: { reader }, keep = new Set() }: ForgetOptions,
): Promise<AttachedLink[]> {
  const names = repositoryNames(repository);
  const listed = (await Promise.all(names.map((name) => tags.listNames(name)))).flat();
  // Most repositories have none, and the other tags need not be read.
  if (!listed.some((tag) => subjectOfCosignTag(tag) !== undefined)) return [];
  const [needed, gone] = [new DigestSet(), new DigestSet()];
  for (const { digest } of images) await reader.reach(digest, gone);
  const [attached, others] = [[] as AttachedLink[], [] as TagLink[]];
  for (const name of names) {
    for (const link of await tags.listLinks(name)) {
      const subject = subjectOfCosignTag(link.tag);
      if (subject === undefined) others.push(link);
      else if (gone.has(subject) && !keep.has(subject)) attached.push({ ...link, name });
    }
  }
  if (attached.length === 0) return [];
  const isGoing = (link: TagLink) => images.some(({ tag, digest }) => tag === link.tag && digest === link.digest);
  async function* listRoots(): AsyncGenerator<Digest> {
    for (const link of others) if (!isGoing(link)) yield link.digest;
    // As in a data folder: every manifest that is not to be removed counts as needed, tagged or not.
    for await (const { digest } of walkLinks(client, names.map(revisionsPath))) if (!gone.has(digest)) yield digest;
  }
  const isNeeded = ({ tag }: TagLink) => needed.has(subjectOfCosignTag(tag)!);
  for await (const isRead of mapInOrder(listRoots(), READS_AT_ONCE, (digest) => reader.reach(digest, needed))) {
    // An index that cannot be read may list any manifest.
    if (!isRead || attached.every(isNeeded)) return [];
  }
  return attached.filter((link) => !isNeeded(link));
}
