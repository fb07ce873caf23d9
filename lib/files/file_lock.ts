const PATIENCE_MILLISECONDS = 250;

/** How the try to lock a file ended; `unsupported`: the file system (a phone's shared storage) knows no locks. */
export type LockOutcome = "locked" | "taken" | "unsupported";

/**
 * Takes a lock on an open file, without waiting for whoever has it; it goes when the file is closed, or its process ends
 * in any way.
 *
 * @param isExclusive whether nobody else may have the lock at the same time
 */
export async function lockFile(file: Deno.FsFile, isExclusive = true): Promise<LockOutcome> {
  try {
    const isLocked = "tryLock" in file ? await file.tryLock(isExclusive) : await lockSoon(file, isExclusive);
    return isLocked ? "locked" : "taken";
  } catch {
    return "unsupported";
  }
}

/** As `lockFile`; whether the lock was got. */
export async function tryLockFile(file: Deno.FsFile, isExclusive = true): Promise<boolean> {
  return await lockFile(file, isExclusive) === "locked";
}

// Deno before 2.7 can only wait for a lock: then one that is not free at once counts as taken.
async function lockSoon(file: Deno.FsFile, isExclusive: boolean): Promise<boolean> {
  const patience = Promise.withResolvers<false>();
  const timer = setTimeout(() => patience.resolve(false), PATIENCE_MILLISECONDS);
  try {
    return await Promise.race([file.lock(isExclusive).then(() => true), patience.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Tells whether an open file is still the one of its path. Between the open and the lock who had it before may have given it
 * its final name: then the lock is on a committed blob, which must not be touched.
 */
export async function isFileAt(path: string, file: Deno.FsFile): Promise<boolean> {
  try {
    const [there, ours] = [await Deno.lstat(path), await file.stat()];
    return there.isFile && there.ino === ours.ino && there.dev === ours.dev;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
