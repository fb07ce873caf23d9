import { subjectOfCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { DigestSet } from "../store/digest_set.ts";
import type { UnwantedImage } from "../store/forget_images.ts";
import { repositoryNames } from "../store/repository_names.ts";
import { ManifestsInBucket } from "./mark_bucket.ts";
import type { ObjectTags } from "./object_tags.ts";
import type { S3Client } from "./s3_client.ts";

/** Options of `forgetBucketImages`. */
export interface ForgetOptions {
  readonly client: S3Client;
  readonly tags: ObjectTags;
  readonly warn: (message: string) => void;
  /** What packages need, although no tag may refer to it. */
  readonly keep?: ReadonlySet<Digest>;
  /** Only lists the tags that would be removed. */
  readonly dryRun?: boolean;
}

/**
 * Removes the tags of images from a bucket, if they still refer to them, and those of what cosign has attached to manifests
 * that no other tag reaches. The manifests stay until a garbage collection: another machine may be using them.
 *
 * @returns the removed tags of `images` as `repository:tag`, sorted
 */
export async function forgetBucketImages(images: readonly UnwantedImage[], options: ForgetOptions): Promise<string[]> {
  const { tags, dryRun = false } = options;
  const forgotten = new Set<string>();
  for (const { repository, tag, digest } of images) {
    if (tag === undefined || !await tags.remove(repository, { tag, digest }, { dryRun })) continue;
    forgotten.add(`${repository}:${tag}`);
  }
  if (dryRun) return [...forgotten].sort();
  for (const [repository, group] of Map.groupBy(images, ({ repository }) => repository)) {
    await removeAttached(repository, group.map(({ digest }) => digest), options);
  }
  return [...forgotten].sort();
}

async function removeAttached(
  repository: string,
  going: readonly Digest[],
  { client, tags, warn, keep = new Set() }: ForgetOptions,
): Promise<void> {
  const isAttached = ({ tag }: { readonly tag: string }) => subjectOfCosignTag(tag) !== undefined;
  const names = repositoryNames(repository);
  const listed = (await Promise.all(names.map((name) => tags.listNames(name)))).flat();
  // Most repositories have none, and the other tags need not be read.
  if (!listed.some((tag) => isAttached({ tag }))) return;
  const links = (await Promise.all(names.map((name) => tags.listLinks(name)))).flat();
  const manifests = new ManifestsInBucket(client, warn);
  const [needed, gone] = [new DigestSet(), new DigestSet()];
  for (const { digest } of links.filter((link) => !isAttached(link))) {
    // An index that cannot be read may list any manifest.
    if (!await manifests.reach(digest, needed)) return;
  }
  for (const digest of going) await manifests.reach(digest, gone);
  for (const { tag, digest } of links.filter(isAttached)) {
    const subject = subjectOfCosignTag(tag)!;
    if (gone.has(subject) && !needed.has(subject) && !keep.has(subject)) await tags.remove(repository, { tag, digest });
  }
}
