import { removeIfPresent } from "./durable.ts";
import { closeLocked, isFileAt, tryLockFile } from "./file_lock.ts";
import { ifPresent, isAbsent } from "./if_present.ts";
import { isNotWritable } from "./not_writable.ts";

/** Removes a file unless it is locked by a writer. @returns whether it was removed */
export async function removeIfUnused(path: string): Promise<boolean> {
  try {
    using file = await Deno.open(path, { write: true });
    // Since it was opened, a writer may have committed it, and another one may have made the file anew.
    if (!await tryLockFile(file, path) || !isFileAt(path, file)) return false;
    // Removed while it is locked, or a writer could resume from a file that is about to be removed.
    await removeIfPresent(path);
    return true;
  } catch (error) {
    // A file of another user is left to that user.
    if (isAbsent(error) || isNotWritable(error)) return false;
    throw error;
  }
}

/** Reports whether another holder has locked a file. On a file system without locks, each file counts as locked. */
export async function isInUse(path: string): Promise<boolean> {
  const file = await ifPresent(Deno.open(path));
  if (file === undefined) return false;
  try {
    // A shared lock is enough to see that.
    return !await tryLockFile(file, path, false);
  } finally {
    closeLocked(file);
  }
}
