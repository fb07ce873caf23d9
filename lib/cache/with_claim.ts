import type { Digest } from "../oci/digest.ts";
import type { IngestStore } from "../store/blob_store.ts";
import { SharedDownload } from "./shared_download.ts";

/**
 * Starts a download while no other process that shares the store has one of the same blob. The claim ends with it.
 *
 * @returns `undefined` also when another process has stored the blob in the meantime
 */
export async function withClaim<T>(
  store: IngestStore,
  { repo, digest }: { readonly repo: string; readonly digest: Digest },
  start: () => Promise<T>,
): Promise<T | undefined> {
  const claim = await store.claimDownload?.(repo, digest);
  if (claim === "stored") return undefined;
  const release = () => claim?.[Symbol.asyncDispose]();
  try {
    const started = await start();
    if (started instanceof SharedDownload) started.done.then(release, release);
    else await release();
    return started;
  } catch (error) {
    await release();
    throw error;
  }
}
