const PATIENCE_MILLISECONDS = 250;

/**
 * Takes an exclusive lock on an open file, without waiting for whoever has it; the lock goes when the file is closed,
 * or its process ends in any way.
 *
 * @returns `false` when another open file has the lock, or the file system (a phone's shared storage) knows none
 */
export async function tryLockFile(file: Deno.FsFile): Promise<boolean> {
  try {
    if ("tryLock" in file) return await file.tryLock(true);
    return await lockSoon(file);
  } catch {
    return false;
  }
}

// Deno before 2.7 can only wait for a lock: then one that is not free at once counts as taken.
async function lockSoon(file: Deno.FsFile): Promise<boolean> {
  const patience = Promise.withResolvers<false>();
  const timer = setTimeout(() => patience.resolve(false), PATIENCE_MILLISECONDS);
  try {
    return await Promise.race([file.lock(true).then(() => true), patience.promise]);
  } finally {
    clearTimeout(timer);
  }
}
