import { drain } from "../bytes/file_stream.ts";
import { SharedFiles } from "../bytes/shared_files.ts";
import { Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { blobPath } from "../store/layout.ts";
import type { BlobState } from "../store/held_blobs.ts";
import { takeCollectionLease } from "./collect_bucket.ts";
import type { CondemnedBlobs } from "./condemned_blobs.ts";
import { readObject } from "./read_object.ts";
import type { S3Client } from "./s3_client.ts";

/** Finds out whether a blob of a bucket has the content of its digest. @returns what is wrong; `undefined` if nothing is */
export async function findBucketRot(
  client: S3Client,
  digest: Digest,
  onChunk: (bytes: number) => void = () => {},
): Promise<{ readonly reason: string } | "missing" | undefined> {
  const key = blobPath(digest);
  const object = await client.open(key);
  if (object === undefined) return "missing";
  const verifier = new Verifier(digest, undefined);
  const { budget } = new SharedFiles();
  // A transfer that is cut is an error of the network, and says nothing about the blob.
  await drain(readObject(client, { key, start: 0, length: object.size, budget }, object), (chunk) => {
    verifier.update(chunk);
    onChunk(chunk.length);
  });
  try {
    verifier.finish();
    return undefined;
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return { reason: "its content does not match its digest" };
  }
}

/**
 * Hashes a blob of a bucket, and removes it if it is corrupt. Where other processes use the bucket, it stays while a garbage
 * collection is in progress, and when a writer has stored or kept it in the meantime.
 *
 * @param condemned the verdicts; absent where the storage ignores the conditions of writes
 * @returns the state in which it was found
 */
export async function removeBucketRot(
  client: S3Client,
  digest: Digest,
  condemned: CondemnedBlobs | undefined,
): Promise<BlobState> {
  const rot = await findBucketRot(client, digest);
  if (rot === undefined) return "intact";
  if (rot === "missing") return "missing";
  if (condemned === undefined) {
    await client.remove(blobPath(digest));
    return "corrupt";
  }
  // Only one process at a time may condemn.
  await using lease = await takeCollectionLease(client);
  const verdict = lease && await condemned.condemn(digest);
  if (verdict === undefined) return "corrupt";
  const again = await findBucketRot(client, digest);
  const isRotten = again !== undefined && again !== "missing";
  const until = isRotten ? await condemned.confirm(digest, verdict) : undefined;
  if (until !== undefined && lease!.isHeld) await client.remove(blobPath(digest), until);
  await condemned.release(digest);
  return isRotten ? "corrupt" : again ?? "intact";
}
