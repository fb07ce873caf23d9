const LOCK_TIMEOUT_MILLISECONDS = 250;

/** Result of a lock attempt. `unsupported`: the file system (a phone's shared storage, for example) has no locks. */
export type LockOutcome = "locked" | "taken" | "unsupported";

/**
 * Locks an open file without waiting for another holder. The lock is released when the file is closed or the process
 * ends in any way.
 *
 * @param isExclusive whether the lock is exclusive; otherwise it is shared
 */
export async function lockFile(file: Deno.FsFile, isExclusive = true): Promise<LockOutcome> {
  try {
    const isLocked = "tryLock" in file ? await file.tryLock(isExclusive) : await lockWithin(file, isExclusive);
    return isLocked ? "locked" : "taken";
  } catch {
    return "unsupported";
  }
}

/** As `lockFile`. @returns whether the file is now locked */
export async function tryLockFile(file: Deno.FsFile, isExclusive = true): Promise<boolean> {
  return await lockFile(file, isExclusive) === "locked";
}

// Deno before 2.7 has no `tryLock` and can only wait: a lock that is not free within the time-out counts as taken.
async function lockWithin(file: Deno.FsFile, isExclusive: boolean): Promise<boolean> {
  const timeout = Promise.withResolvers<false>();
  const timer = setTimeout(() => timeout.resolve(false), LOCK_TIMEOUT_MILLISECONDS);
  try {
    return await Promise.race([file.lock(isExclusive).then(() => true), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Tests whether a path still names an open file. Between opening and locking, the previous lock holder may have renamed
 * the file to its final name: then the lock is on a committed blob, which must not be modified.
 */
export async function isFileAt(path: string, file: Deno.FsFile): Promise<boolean> {
  try {
    const [atPath, opened] = [await Deno.lstat(path), await file.stat()];
    return atPath.isFile && atPath.ino === opened.ino && atPath.dev === opened.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
