import type { S3Client } from "./s3_client.ts";
import { S3Error } from "./s3_error.ts";

/**
 * Finds out whether the storage obeys the conditions of writes (`If-None-Match: *` and `If-Match`). Without them two
 * processes may both believe that they hold a lease.
 *
 * @param key of an object that is written and removed
 */
export async function probeConditions(client: S3Client, key: string): Promise<boolean> {
  const bytes = new TextEncoder().encode("crpe probes conditional writes");
  try {
    if (await client.write(key, bytes, { isNew: true }) === undefined) return false;
    if (await client.write(key, bytes, { isNew: true }) !== undefined) return false;
    return await client.write(key, bytes, { etag: '"00000000000000000000000000000000"' }) === undefined;
  } catch (error) {
    // Some storages refuse what they do not implement.
    if (error instanceof S3Error && error.answered === 501) return false;
    throw error;
  } finally {
    // What the writes have shown counts, even if the object stays.
    await client.remove(key).catch(() => {});
  }
}
