import type { Digest } from "../../oci/digest.ts";
import { listInventory } from "../../store/inventory.ts";
import type { OpenedStore } from "./open_store.ts";

/** Lists the digests of all content that a server has, sorted: that of its bucket, or of its data folder. */
export async function listHeldContent(data: string, { bucket }: Pick<OpenedStore, "bucket">): Promise<Digest[]> {
  if (bucket === undefined) return await listInventory(data);
  const { walkBlobs } = await import("../../object_store/walk_blobs.ts");
  return await Array.fromAsync(walkBlobs(bucket.client), ({ digest }) => digest);
}
