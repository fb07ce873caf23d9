import { append } from "../content/append.ts";
import { mapInOrder } from "../content/map_in_order.ts";
import { subjectOfCosignTag } from "../oci/cosign_tag.ts";
import type { Digest } from "../oci/digest.ts";
import { splitSuccessors } from "../oci/manifest.ts";
import { revisionsPath } from "../store/layout.ts";
import { type ManifestLinks, markReachable } from "../store/reachable.ts";
import { walkRepositories } from "./list_repositories.ts";
import { ManifestsInBucket, walkLinks } from "./mark_bucket.ts";
import type { ObjectStore } from "./object_store.ts";
import type { S3Client } from "./s3_client.ts";

/** An image of a bucket: what at least one tag refers to. */
interface BucketImage {
  readonly root: Digest;
  readonly tags: readonly { readonly repo: string; readonly tag: string }[];
  /** Digests of its manifests, their referrers, configs and layers, including content that the bucket does not have. */
  readonly digests: ReadonlySet<Digest>;
}

// Each takes several requests, which take longer than their work.
const AT_ONCE = 8;

/**
 * Lists the tagged images of a bucket with their content, as a garbage collection with `--untagged` sees them: a referrer
 * belongs to its subject, and so does what a tag of cosign's scheme attaches.
 *
 * @throws {S3Error} when something cannot be read
 */
export async function listBucketImages(client: S3Client, store: ObjectStore): Promise<BucketImage[]> {
  const tags = new Map<Digest, { repo: string; tag: string }[]>();
  const referrers = new Map<Digest, Digest[]>();
  const manifests = new Map<Digest, ManifestLinks | undefined>();
  const list = async (repo: string) => {
    const links = await store.listTagLinks(repo);
    return {
      repo,
      links,
      own: await Array.fromAsync(walkLinks(client, [revisionsPath(repo)]), ({ digest }) => digest),
    };
  };
  for await (const { repo, links, own } of mapInOrder(walkRepositories(client), AT_ONCE, list)) {
    for (const digest of own) manifests.set(digest, undefined);
    for (const { tag, digest } of links) {
      const subject = subjectOfCosignTag(tag);
      if (subject === undefined || subject === digest || !own.includes(subject)) append(tags, digest, { repo, tag });
      else append(referrers, subject, digest);
    }
  }
  const reader = new ManifestsInBucket(client, () => {});
  const read = async (digest: Digest) => ({ digest, links: await readLinks(reader, digest) });
  for await (const { digest, links } of mapInOrder(ReadableStream.from([...manifests.keys()]), AT_ONCE, read)) {
    manifests.set(digest, links);
    if (links?.subject !== undefined) append(referrers, links.subject, digest);
  }
  const graph = {
    // The children of an index need no links.
    read: async (digest: Digest) => manifests.has(digest) ? manifests.get(digest) : await readLinks(reader, digest),
    referrersOf: (subject: Digest) => referrers.get(subject) ?? [],
  };
  const describe = async ([root, own]: [Digest, { repo: string; tag: string }[]]) => ({
    root,
    tags: own,
    digests: await markReachable({ roots: [root], ...graph }),
  });
  return await Array.fromAsync(mapInOrder(ReadableStream.from(tags), AT_ONCE, describe));
}

async function readLinks(reader: ManifestsInBucket, digest: Digest): Promise<ManifestLinks | undefined> {
  const manifest = await reader.read(digest);
  if (typeof manifest !== "object") return undefined;
  const { manifests, blobs } = splitSuccessors(manifest);
  return { manifests: manifests.map((it) => it.digest), blobs, subject: manifest.subject?.digest };
}
