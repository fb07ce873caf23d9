import { pause } from "../bytes/pause.ts";
import { createFolder } from "../files/durable.ts";
import { closeLocked, lockFile, type LockOutcome, waitForLock } from "../files/file_lock.ts";
import { ifPresent, isAbsent } from "../files/if_present.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { isNotWritable } from "../files/not_writable.ts";
import { INGEST } from "./layout.ts";
import { cannot, CrpeError } from "../oci/error.ts";

const LOCK = `${INGEST}/writers.lock`;
const ATTEMPTS = 4;
const PAUSE_MILLISECONDS = 100;

/**
 * Takes a lease for writing content that nothing references yet: an import, a pull or a pack stores blobs before the
 * manifests that reference them, and skips blobs that already exist. While a lease is held, nothing is removed from the
 * store, neither by `crpe gc` nor by the size limit of a server. Any number of writers can hold a lease at the same
 * time. A writer that starts during a collection waits until the collection has finished.
 *
 * If the folder is not writable, is not a folder, or is on a file system without locks, a lease without effect is
 * returned: no collection can run in such a folder, and the first write reports what is wrong with it.
 *
 * @throws {Error} when the lease cannot be taken for any other reason
 */
export async function takeWriteLease(root: string): Promise<Disposable> {
  const path = `${root}/${LOCK}`;
  const file = await openForLease(root, path);
  if (file === undefined) return { [Symbol.dispose]() {} };
  try {
    await waitForLock(file, path, false);
  } catch (error) {
    file.close();
    throw error;
  }
  stamp(file);
  return {
    [Symbol.dispose]() {
      stamp(file);
      closeLocked(file);
    },
  };
}

/**
 * Excludes all writers until the returned handle is disposed of, so that content can be removed.
 *
 * @returns `undefined` when there is a writer, or another process that excludes writers, or when the file system has no
 *   locks
 * @throws {Error} when the folder is not writable, or the lock cannot be taken
 */
export async function tryExcludeWriters(root: string): Promise<Disposable | undefined> {
  const exclusion = await tryLockWriters(root);
  return typeof exclusion === "string" ? undefined : exclusion;
}

/**
 * Like `tryExcludeWriters`, but retries for 300 ms, in case a writer is about to finish.
 *
 * @throws {Error} when the file system has no locks, or as `tryExcludeWriters` does
 */
export async function excludeWriters(root: string): Promise<Disposable | undefined> {
  for (let attempt = 1;; attempt++) {
    const exclusion = await tryLockWriters(root);
    if (exclusion === "unsupported") {
      throw new CrpeError(
        cannot(
          `remove content of ${root}`,
          "its file system has no locks, so that an import in progress would lose content",
        ),
      );
    }
    if (exclusion !== "taken") return exclusion;
    if (attempt === ATTEMPTS) return undefined;
    await pause(PAUSE_MILLISECONDS);
  }
}

async function tryLockWriters(root: string): Promise<Disposable | Exclude<LockOutcome, "locked">> {
  await createFolder(`${root}/${INGEST}`);
  const path = `${root}/${LOCK}`;
  const file = await openOwned(path, { write: true, create: true });
  let outcome: LockOutcome | undefined;
  try {
    outcome = await lockFile(file, path);
    return outcome === "locked" ? { [Symbol.dispose]: () => closeLocked(file) } : outcome;
  } finally {
    if (outcome !== "locked") file.close();
  }
}

/** Changes the stamp, so that other processes know that content was stored or removed. */
export async function announceChange(root: string): Promise<void> {
  using file = await openOwned(`${root}/${LOCK}`, { write: true, create: true });
  stamp(file);
}

/** Returns a stamp that changes with every lease and every collection. */
export async function readChangeStamp(root: string): Promise<number> {
  return (await ifPresent(Deno.lstat(`${root}/${LOCK}`)))?.mtime?.getTime() ?? 0;
}

async function openForLease(root: string, path: string): Promise<Deno.FsFile | undefined> {
  try {
    await createFolder(`${root}/${INGEST}`);
    return await openOwned(path, { write: true, create: true });
  } catch (error) {
    if (isNoFolder(error)) return undefined;
    if (!isNotWritable(error)) throw error;
  }
  // Another user may collect garbage in a folder that this one can only read.
  return await Deno.open(path).catch((error) => {
    if (isNotWritable(error) || isNoFolder(error)) return undefined;
    throw error;
  });
}

// A part of the path is a file, or the system does not create folders there.
function isNoFolder(error: unknown): boolean {
  return isAbsent(error) || error instanceof Deno.errors.AlreadyExists;
}

// The stamp is the modification time of the file. Its content does not matter.
function stamp(file: Deno.FsFile): void {
  try {
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(new Uint8Array([10]));
  } catch {
    // The disk is full. Sizes are scanned again from time to time anyway.
  }
}
