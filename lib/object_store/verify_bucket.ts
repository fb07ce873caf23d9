import type { Digest } from "../oci/digest.ts";
import { isDigest } from "../oci/digest.ts";
import { blobPath, layersPath, revisionsPath, tagIndexPath, tagLinkPath, tagsPath } from "../store/layout.ts";
import type { BrokenLink } from "../store/verify_links.ts";
import { type StoredBlobs, type StoreReport, verifyBlobs, type VerifyOptions } from "../store/verify_store.ts";
import { findBucketRot } from "./find_bucket_rot.ts";
import { listNames, walkRepositories } from "./list_repositories.ts";
import { digestOfLink } from "./mark_bucket.ts";
import type { ObjectStore } from "./object_store.ts";
import type { S3Client } from "./s3_client.ts";
import { walkBlobs } from "./walk_blobs.ts";

/** A store in a bucket, and the client that it uses. */
interface VerifiedBucket {
  readonly store: ObjectStore;
  readonly client: S3Client;
}

/** Hashes every blob of a bucket again, and checks its links and that the required blobs exist. Nothing is changed. */
export async function verifyBucket(bucket: VerifiedBucket, options?: VerifyOptions): Promise<StoreReport> {
  const { store, client } = bucket;
  const stored: StoredBlobs = {
    digests: listDigests(client),
    findRot: (digest, onChunk) => findBucketRot(client, digest, onChunk),
    has: async (digest, size) => await client.size(blobPath(digest)) === size,
  };
  return {
    ...await verifyBlobs(store, stored, options),
    links: await Array.fromAsync(walkBrokenLinks(bucket)),
  };
}

async function* listDigests(client: S3Client): AsyncGenerator<Digest> {
  for await (const { digest } of walkBlobs(client)) yield digest;
}

/**
 * Writes a damaged link of a bucket again. A tag that does not say what it referred to, and has no history, is removed: it
 * is fetched again when a client requests it. A link that another process has written in the meantime stays.
 *
 * @returns what was done
 */
export async function repairBucketLink(client: S3Client, { path, digest }: BrokenLink): Promise<"rebuilt" | "removed"> {
  const found = await client.read(path);
  if (found === undefined) return "removed";
  // Another process may have written the link since it was verified.
  const text = new TextDecoder().decode(found.bytes).trim();
  const expected = digestOfLink({ key: path });
  if (expected === undefined ? isDigest(text) : text === expected) return "rebuilt";
  if (digest === undefined) {
    await client.remove(path);
    return "removed";
  }
  await client.write(path, new TextEncoder().encode(digest), { etag: found.etag });
  return "rebuilt";
}

async function* walkBrokenLinks({ store, client }: VerifiedBucket): AsyncGenerator<BrokenLink> {
  for await (const repository of walkRepositories(client, { folders: ["_manifests", "_layers"] })) {
    for (const tag of await listNames(client, `${tagsPath(repository)}/`)) {
      const path = tagLinkPath(repository, tag);
      const found = await readLink(client, path);
      if (found === undefined) continue;
      const link = { path, image: `${repository}:${tag}`, repository };
      if (!isDigest(found)) {
        const digest = await findNewest(client, `${tagIndexPath(repository, tag)}/`);
        yield { ...link, reason: "it does not contain a digest", digest };
      } else if (await store.statBlob(repository, found) === undefined) {
        const reason = `it refers to the manifest ${found}, which is missing`;
        yield { ...link, reason, digest: found, isManifestMissing: true };
      }
    }
    for (const [folder, isManifest] of [[revisionsPath(repository), true], [layersPath(repository), false]] as const) {
      for await (const { key } of client.walk({ prefix: `${folder}/` })) {
        const digest = digestOfLink({ key });
        // A repository may have other objects beside its links.
        const found = digest && await readLink(client, key);
        if (digest === undefined || found === undefined) continue;
        const link = { path: key, image: repository, repository, digest };
        if (found !== digest) yield { ...link, reason: "it does not contain its digest" };
        else if (isManifest && await store.statBlob(repository, digest) === undefined) {
          yield { ...link, reason: `the manifest ${digest} is missing`, isManifestMissing: true };
        }
      }
    }
  }
}

async function readLink(client: S3Client, key: string): Promise<string | undefined> {
  const object = await client.read(key);
  return object && new TextDecoder().decode(object.bytes).trim();
}

async function findNewest(client: S3Client, prefix: string): Promise<Digest | undefined> {
  let newest: { digest: Digest; modified: number } | undefined;
  for await (const { key, modified } of client.walk({ prefix })) {
    const digest = digestOfLink({ key });
    const isNewer = newest === undefined || modified > newest.modified;
    if (digest !== undefined && isNewer && await client.size(blobPath(digest)) !== undefined) {
      newest = { digest, modified };
    }
  }
  return newest?.digest;
}
