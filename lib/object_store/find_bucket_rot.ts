import { drain } from "../bytes/file_stream.ts";
import { SharedFiles } from "../bytes/shared_files.ts";
import { Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import { blobPath } from "../store/layout.ts";
import type { BlobState } from "../store/held_blobs.ts";
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
 * Hashes a blob of a bucket, and removes it if it is corrupt.
 *
 * @param condemned how other processes are asked, where the storage obeys the conditions of writes; a writer that has
 *   replaced the blob in the meantime keeps it
 * @returns the state in which it was found
 */
export async function removeBucketRot(
  client: S3Client,
  digest: Digest,
  condemned: CondemnedBlobs | undefined,
): Promise<BlobState> {
  const verdict = await condemned?.condemn(digest);
  try {
    const rot = await findBucketRot(client, digest);
    if (rot === undefined) return "intact";
    if (rot === "missing") return "missing";
    const mayRemove = condemned === undefined || verdict !== undefined && await condemned.confirm(digest, verdict);
    if (mayRemove) await client.remove(blobPath(digest));
    return "corrupt";
  } finally {
    if (verdict !== undefined) await condemned?.release(digest);
  }
}
