import { pause } from "../bytes/pause.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { splitRepository } from "../oci/reference.ts";
import { type ObjectLease, takeLease } from "./object_lease.ts";
import type { S3Client } from "./s3_client.ts";

/** What `claimBlob` has to know. */
interface BlobClaim {
  readonly client: S3Client;
  /** The key of the lease of the blob. */
  readonly key: string;
  /** Returns a name that no other process, and no other claim, has. */
  readonly owner: string;
  /** Reports whether another process has stored the blob. */
  readonly isStored: () => Promise<boolean>;
  readonly delay?: (milliseconds: number) => Promise<void>;
}

const LEASE_MILLISECONDS = 30_000;
const FIRST_DELAY = 100;
const MAX_DELAY = 1000;
// How often it is asked for the lease, for about ten minutes. A download that takes longer is then made twice.
const MAX_ATTEMPTS = 600;

/**
 * Claims the download of a blob, so that of several processes that need it one downloads it. Waits while another one
 * does.
 *
 * @returns `"stored"` when another process has stored it; `undefined` when the wait was too long
 */
export async function claimBlob(
  { client, key, owner, isStored, delay = pause }: BlobClaim,
): Promise<ObjectLease | "stored" | undefined> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const lease = await takeLease({ client, key, ttl: LEASE_MILLISECONDS, owner });
    if (await isStoredFor(lease, isStored)) {
      await lease?.[Symbol.asyncDispose]();
      return "stored";
    }
    if (lease !== undefined) return lease;
    await delay(Math.min(MAX_DELAY, FIRST_DELAY * 2 ** Math.min(attempt, 10)));
  }
  return undefined;
}

// A lease that is not given up is renewed for as long as the process runs.
async function isStoredFor(lease: ObjectLease | undefined, isStored: () => Promise<boolean>): Promise<boolean> {
  try {
    return await isStored();
  } catch (error) {
    await lease?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** Returns the key of the lease of a download. */
export function downloadKey(repo: string, digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  // A slow registry must not hold up the clients of another one.
  const host = splitRepository(repo).host.replace(/[^A-Za-z0-9.-]/g, "_");
  return `crpe/downloads/${host}/${algorithm}-${hex}`;
}
