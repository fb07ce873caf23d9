import { mapInOrder } from "../content/map_in_order.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { parseManifest, splitSuccessors } from "../oci/manifest.ts";
import { type ManifestLinks, markReachable } from "../store/reachable.ts";
import { walkRepositories } from "./list_repositories.ts";
import type { ObjectStore } from "./object_store.ts";
import type { S3Client } from "./s3_client.ts";

/** An image of a bucket: what at least one tag refers to. */
interface BucketImage {
  readonly root: Digest;
  readonly tags: readonly { readonly repo: string; readonly tag: string }[];
  /** Digests of its manifests, configs and layers, including content that the bucket does not have. */
  readonly digests: ReadonlySet<Digest>;
}

// Each takes several requests, which take longer than their work.
const AT_ONCE = 8;

/** Lists the tagged images of a bucket with their content. @throws {S3Error} when something cannot be read */
export async function listBucketImages(client: S3Client, store: ObjectStore): Promise<BucketImage[]> {
  const tags = new Map<Digest, { repo: string; tag: string }[]>();
  const list = async (repo: string) => ({ repo, links: await store.listTagLinks(repo) });
  for await (const { repo, links } of mapInOrder(walkRepositories(client), AT_ONCE, list)) {
    for (const { tag, digest } of links) tags.set(digest, [...tags.get(digest) ?? [], { repo, tag }]);
  }
  const describe = async ([root, own]: [Digest, { repo: string; tag: string }[]]) => {
    const read = (digest: Digest) => readLinks(store, own[0]!.repo, digest);
    return { root, tags: own, digests: await markReachable({ roots: [root], read }) };
  };
  return await Array.fromAsync(mapInOrder(ReadableStream.from(tags), AT_ONCE, describe));
}

async function readLinks(store: ObjectStore, repo: string, digest: Digest): Promise<ManifestLinks | undefined> {
  try {
    const bytes = await store.readManifest(repo, digest);
    const links = bytes && splitSuccessors(parseManifest(bytes));
    return links && { manifests: links.manifests.map((it) => it.digest), blobs: links.blobs };
  } catch (error) {
    if (error instanceof CorruptError) return undefined;
    throw error;
  }
}
