import { SharedFiles } from "../../lib/bytes/shared_files.ts";
import { ObjectStore } from "../../lib/object_store/object_store.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";
import { openS3Client, S3_BUCKET } from "./object_storage.ts";

/** Where the content of a data folder is, when scripts/on_bucket.ts runs the tests; else `undefined`. */
export function bucketOf(data: string): { url: string; prefix: string; env: Record<string, string> } | undefined {
  const env = Deno.env.get("CRPE_TEST_STORE_ENV");
  if (env === undefined) return undefined;
  const prefix = computeDigest(data).slice(-16);
  return { url: `s3://${S3_BUCKET}/${prefix}`, prefix, env: JSON.parse(env) };
}

/** Opens the store that a `crpe registry` with a data folder serves, to fill it. */
export function openServedStore(data: string): DiskStore | ObjectStore {
  const bucket = bucketOf(data);
  if (bucket === undefined) return new DiskStore(data);
  const client = openS3Client({ url: bucket.env.AWS_ENDPOINT_URL! }, `${bucket.prefix}/`);
  return new ObjectStore({ client, spool: data, files: new SharedFiles() });
}
