import { createFolder, removeIfPresent } from "../files/durable.ts";
import { ifPresent, listFolder } from "../files/if_present.ts";
import { type Digest, splitDigest } from "../oci/digest.ts";
import { blobPath, QUARANTINE } from "./layout.ts";
import { removeEmptyFolders } from "./trash.ts";

/** Largest number of files in the quarantine; the oldest ones are removed. */
export const MAX_QUARANTINED = 100;
/** Largest total size of the files in the quarantine, in bytes. A larger file is removed at once. */
export const MAX_QUARANTINED_BYTES = 1024 * 1024 * 1024;

/** Returns the path of a quarantined blob, relative to the data folder. */
export function quarantinePath(digest: Digest): string {
  const { algorithm, hex } = splitDigest(digest);
  return `${QUARANTINE}/${algorithm}-${hex}`;
}

/**
 * Moves the file of a corrupt blob out of the store, which is then missing it. The file is kept for inspection, within
 * the limits of the quarantine. Nothing reads it again.
 *
 * @param root the data folder
 * @returns the path of the file, relative to the data folder; `undefined` when the file does not exist any more, or
 *   exceeds the limit and was removed
 */
export async function moveToQuarantine(root: string, digest: Digest): Promise<string | undefined> {
  const target = quarantinePath(digest);
  await createFolder(`${root}/${QUARANTINE}`, { isSynced: false });
  const moved = Deno.rename(`${root}/${blobPath(digest)}`, `${root}/${target}`).then(() => true);
  if (await ifPresent(moved) === undefined) return undefined;
  removeEmptyFolders(root, blobPath(digest));
  const now = new Date();
  // The modification time is the time of the move, by which the oldest files are found.
  await Deno.utime(`${root}/${target}`, now, now);
  return await trim(root, target) ? undefined : target;
}

/** Removes the oldest files beyond the limits. @returns whether `added` was removed */
async function trim(root: string, added: string): Promise<boolean> {
  const files: { path: string; size: number; time: number }[] = [];
  for (const { name, isFile } of await listFolder(`${root}/${QUARANTINE}`) ?? []) {
    if (!isFile) continue;
    const path = `${QUARANTINE}/${name}`;
    const { size, mtime } = await Deno.lstat(`${root}/${path}`);
    files.push({ path, size, time: path === added ? Infinity : mtime?.getTime() ?? 0 });
  }
  let bytes = 0;
  let isAddedRemoved = false;
  for (const [i, { path, size }] of files.sort((a, b) => b.time - a.time).entries()) {
    bytes += size;
    if (i < MAX_QUARANTINED && bytes <= MAX_QUARANTINED_BYTES) continue;
    await removeIfPresent(`${root}/${path}`);
    isAddedRemoved ||= path === added;
  }
  return isAddedRemoved;
}
