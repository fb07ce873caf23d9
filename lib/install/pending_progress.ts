import type { ImportStore } from "../store/blob_store.ts";
import { missingParts, type PendingPackage } from "./pending_packages.ts";

/** What of a pending package is on the disk. */
export interface PendingProgress {
  /** In bytes. */
  readonly received: number;
  /** The size of all content in bytes. */
  readonly size: number;
  /** The numbers of the parts that were not received; `undefined` if the bundle is not split. */
  readonly missingParts: readonly number[] | undefined;
}

/** Measures how much of a pending package was received. */
export async function measurePending(
  { kubepkg, part }: PendingPackage,
  store: Pick<ImportStore, "statBlob" | "statIngest" | "listPieces">,
): Promise<PendingProgress> {
  const sizes = new Map((kubepkg.status?.digests ?? []).map(({ digest, size }) => [digest, size]));
  // Of a layer that has a delta, that is received, unless the layer is held.
  for (const { digest, delta, size } of kubepkg.status?.deltas ?? []) {
    if (await store.statBlob("", digest) === sizes.get(digest)) continue;
    sizes.delete(digest);
    sizes.set(delta, size);
  }
  let [received, size] = [0, 0];
  for (const [digest, whole] of sizes) {
    size += whole;
    if (await store.statBlob("", digest) === whole) received += whole;
    else {
      const pieces = await store.listPieces(digest).catch(() => []);
      const inPieces = pieces.reduce((sum, { length }) => sum + length, 0);
      received += Math.min(whole, Math.max(await store.statIngest(digest), inPieces));
    }
  }
  return { received, size, missingParts: part && missingParts(part) };
}
