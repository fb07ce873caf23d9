import { createFolder } from "../files/durable.ts";
import { tryLockFile } from "../files/file_lock.ts";
import { INGEST } from "./layout.ts";

const LOCK = `${INGEST}/writers.lock`;
const ATTEMPTS = 4;
const PAUSE_MILLISECONDS = 100;

/**
 * Takes a lease for writing content that nothing references yet: an import, a pull or a pack stores blobs before the
 * manifests that reference them, and skips blobs that already exist. While a lease is held, nothing is removed from the
 * store, neither by `crpe gc` nor by the size limit of a server. Any number of writers can hold a lease at the same
 * time. A writer that starts during a collection waits until the collection has finished.
 *
 * If the lease cannot be taken, because the folder is not writable or its file system has no locks, a lease without
 * effect is returned: no collection can run in such a folder, and a folder that is not writable fails at the first
 * write.
 */
export async function takeWriteLease(root: string): Promise<Disposable> {
  let file: Deno.FsFile | undefined;
  try {
    await createFolder(`${root}/${INGEST}`);
    file = await Deno.open(`${root}/${LOCK}`, { write: true, create: true });
    await file.lock(false);
    stamp(file);
  } catch {
    file?.close();
    return { [Symbol.dispose]() {} };
  }
  return {
    [Symbol.dispose]() {
      stamp(file);
      file.close();
    },
  };
}

/**
 * Excludes all writers until the returned handle is disposed of, so that content can be removed.
 *
 * @returns `undefined` when there is a writer, or another process that excludes writers
 * @throws {Error} when the folder is not writable
 */
export async function tryExcludeWriters(root: string): Promise<Disposable | undefined> {
  await createFolder(`${root}/${INGEST}`);
  const file = await Deno.open(`${root}/${LOCK}`, { write: true, create: true });
  if (await tryLockFile(file)) return { [Symbol.dispose]: () => file.close() };
  file.close();
  return undefined;
}

/** Like `tryExcludeWriters`, but retries for 300 ms, in case a writer is about to finish. */
export async function excludeWriters(root: string): Promise<Disposable | undefined> {
  for (let attempt = 1;; attempt++) {
    const exclusion = await tryExcludeWriters(root);
    if (exclusion !== undefined || attempt === ATTEMPTS) return exclusion;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
  }
}

/** Changes the stamp, so that other processes know that content was stored or removed. */
export async function announceChange(root: string): Promise<void> {
  using file = await Deno.open(`${root}/${LOCK}`, { write: true, create: true });
  stamp(file);
}

/** Returns a stamp that changes with every lease and every collection. */
export async function readChangeStamp(root: string): Promise<number> {
  try {
    return (await Deno.lstat(`${root}/${LOCK}`)).mtime?.getTime() ?? 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
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
