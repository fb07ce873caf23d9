import { ifPresentSync } from "./if_present.ts";
import { cannot, CrpeError } from "../oci/error.ts";
import { describeSystemError, parseSystemError } from "../oci/system_error.ts";

const LOCK_TIMEOUT_MILLISECONDS = 250;

/** Result of a lock attempt. `unsupported`: the file system (a phone's shared storage, for example) has no locks. */
export type LockOutcome = "locked" | "taken" | "unsupported";

// What `flock` fails with on a file system that has no locks. ENOLCK is not among them: NFS without its lock service has
// locks that do not work, and another machine may use the same folder.
const NO_LOCKS: Readonly<Partial<Record<typeof Deno.build.os, readonly number[]>>> = {
  linux: [38, 95], // ENOSYS, EOPNOTSUPP
  android: [38, 95],
  darwin: [45, 78, 102], // ENOTSUP, ENOSYS, EOPNOTSUPP
  windows: [1, 50, 120], // ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_CALL_NOT_IMPLEMENTED
};

/**
 * Locks an open file without waiting for another holder. The lock is released when the file is closed or the process
 * ends in any way.
 *
 * @param path names the file in errors
 * @param isExclusive whether the lock is exclusive; otherwise it is shared
 * @throws {Error} when locking fails, unless the file system has no locks at all
 */
export async function lockFile(file: Deno.FsFile, path: string, isExclusive = true): Promise<LockOutcome> {
  try {
    // The executable may have an older runtime than the oldest Deno that runs the sources.
    const isLocked = "tryLock" in file ? await file.tryLock(isExclusive) : await lockWithin(file, isExclusive);
    return isLocked ? "locked" : "taken";
  } catch (error) {
    return unsupportedOr(error, path);
  }
}

/** As `lockFile`, exclusive and synchronous. Deno before 2.7 cannot do it: there, each lock counts as taken. */
export function lockFileSync(file: Deno.FsFile, path: string): LockOutcome {
  try {
    return "tryLockSync" in file && file.tryLockSync(true) ? "locked" : "taken";
  } catch (error) {
    return unsupportedOr(error, path);
  }
}

/** As `lockFile`. @returns whether the file is now locked */
export async function tryLockFile(file: Deno.FsFile, path: string, isExclusive = true): Promise<boolean> {
  return await lockFile(file, path, isExclusive) === "locked";
}

/** As `lockFile`, but waits for the other holders. */
export async function waitForLock(
  file: Deno.FsFile,
  path: string,
  isExclusive = true,
): Promise<Exclude<LockOutcome, "taken">> {
  try {
    await file.lock(isExclusive);
    return "locked";
  } catch (error) {
    return unsupportedOr(error, path);
  }
}

/**
 * Closes a locked file. The lock is given up first, because a process that another thread is starting has the file open,
 * too, until it runs its program: with closing alone, the lock would be taken for that time.
 */
export function closeLocked(file: Deno.FsFile): void {
  try {
    file.unlockSync();
  } catch {
    // The file system has no locks.
  }
  file.close();
}

function unsupportedOr(error: unknown, path: string): "unsupported" {
  const number = parseSystemError(error)?.number;
  if (number !== undefined && NO_LOCKS[Deno.build.os]?.includes(number)) return "unsupported";
  throw new CrpeError(cannot(`lock ${path}`, describeSystemError(error)), { cause: error });
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
export function isFileAt(path: string, file: Deno.FsFile): boolean {
  // Synchronous: an asynchronous request, through another thread, costs ten times as much.
  const atPath = ifPresentSync(() => Deno.lstatSync(path));
  const opened = file.statSync();
  return atPath !== undefined && atPath.isFile && atPath.ino === opened.ino && atPath.dev === opened.dev;
}
