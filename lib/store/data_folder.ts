import { createFolder, guardFolder, removeIfPresent } from "../files/durable.ts";
import { closeLocked, lockFile, lockFileSync } from "../files/file_lock.ts";
import { ifPresent, isAbsent, listFolder } from "../files/if_present.ts";
import { openOwned } from "../files/inherit_owner.ts";
import { isNotWritable } from "../files/not_writable.ts";
import { isInUse, removeIfUnused } from "../files/remove_if_unused.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { blobPath, digestOfPartial, digestOfPieces, INGEST, partialPath } from "./layout.ts";
import { restoreTrash } from "./trash.ts";
import { tryExcludeWriters } from "./write_lease.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** Age in milliseconds after which a temporary file counts as stale although there may be concurrent writers. */
export const STALE_MILLISECONDS = 60 * 60 * 1000;

/** Age in milliseconds after which the partial file of a blob that is still missing counts as given up. */
const GIVEN_UP_MILLISECONDS = 14 * 24 * 60 * 60 * 1000;

/** The length of a UUID. */
const ID_BYTES = 36;

/** Thrown when another process serves the same data folder. */
export class FolderInUseError extends CrpeError {}

/**
 * Locks the data folder for serving until the returned handle is disposed of, and removes stale temporary files. When the
 * folder is moved away meanwhile, no other one is created in its place.
 *
 * @returns `undefined` when the folder is not writable; its content can still be served
 * @throws {FolderInUseError} when another process serves the folder
 */
export async function takeDataFolder(root: string): Promise<Disposable | undefined> {
  const path = `${root}/${INGEST}/serving.lock`;
  let file: Deno.FsFile;
  try {
    await createFolder(`${root}/${INGEST}`);
    file = await openOwned(path, { read: true, write: true, create: true });
  } catch (error) {
    if (isNotWritable(error)) return undefined;
    throw error;
  }
  try {
    // A file system without locks is used without one: there is no way to detect a second server.
    if (await lockFile(file, path) === "taken") {
      throw new FolderInUseError(
        cannot(`serve ${root}`, "another crpe is serving it", "stop that one, or choose another folder with --data"),
      );
    }
    // The trash is restored while writers are excluded: no collection is in progress then, so it is a left-over.
    using exclusion = await tryExcludeWriters(root);
    await sweepIngest(root, { minAge: exclusion === undefined ? STALE_MILLISECONDS : 0 });
    if (exclusion !== undefined) await restoreTrash(root);
  } catch (error) {
    file.close();
    throw error;
  }
  const id = readId(file) ?? writeId(file);
  const guard = guardFolder(root, () => {
    const again = id === undefined ? undefined : lockAgain(path, id);
    if (again === undefined) return false;
    file.close();
    file = again;
    return true;
  });
  return {
    [Symbol.dispose]() {
      guard[Symbol.dispose]();
      closeLocked(file);
    },
  };
}

// The lock has an ID of the folder, by which it is known when it is mounted again.
function readId(file: Deno.FsFile): string | undefined {
  const bytes = new Uint8Array(ID_BYTES);
  file.seekSync(0, Deno.SeekMode.Start);
  return file.readSync(bytes) === ID_BYTES ? new TextDecoder().decode(bytes) : undefined;
}

function writeId(file: Deno.FsFile): string | undefined {
  const id = crypto.randomUUID();
  try {
    file.seekSync(0, Deno.SeekMode.Start);
    file.writeSync(new TextEncoder().encode(id));
    return id;
  } catch {
    // A full disk is served too. Mounted again, it needs a restart of crpe.
    return undefined;
  }
}

/** Locks the folder that was mounted again; `undefined` when it is another one, or another process serves it. */
function lockAgain(path: string, id: string): Deno.FsFile | undefined {
  let file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { read: true, write: true });
  } catch {
    return undefined;
  }
  try {
    // As when it was taken: a file system without locks is used without one.
    if (readId(file) === id && lockFileSync(file, path) !== "taken") return file;
  } catch {
    // It cannot be read or locked.
  }
  file.close();
  return undefined;
}

/**
 * Reports whether a process serves the data folder. Nothing is created. On a file system without locks, a folder that was
 * ever served counts as served.
 */
export async function isFolderServed(root: string): Promise<boolean> {
  return await isInUse(`${root}/${INGEST}/serving.lock`);
}

/** Selects which temporary files are swept. */
interface SweepOptions {
  /**
   * Minimum time since the last write to a file, in milliseconds. The temporary file of a blob is locked while it is in
   * use. That of a manifest or a link, which exists only for a moment, is not: while there are concurrent writers, only
   * its age shows that it is stale.
   */
  readonly minAge: number;
  /** Wall clock that file times are compared with, in milliseconds. */
  readonly now?: () => number;
}

/**
 * Removes temporary files that a crash left. Keeps files that are locked, because they are in use, and partial files
 * whose blob is still missing, so that the download can be resumed, unless nothing was added to them for two weeks.
 */
export async function sweepIngest(root: string, { minAge, now = Date.now }: SweepOptions): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(`${root}/${INGEST}`)) {
    const isTemporary = name.endsWith(".tmp") || name.endsWith(".partial");
    if (!isFile || !isTemporary) continue;
    const path = `${root}/${INGEST}/${name}`;
    if (await isWanted(root, name) && !(await isOlder(path, now() - GIVEN_UP_MILLISECONDS))) continue;
    if (minAge > 0 && !(await isOlder(path, now() - minAge))) continue;
    await removeIfUnused(path);
  }
}

/**
 * Removes pieces of blobs that no pending package needs. Must be called with writers excluded, or for blobs that have
 * no writer.
 *
 * @param isWanted reports whether the rest of a blob may still be received
 */
export async function sweepPieces(root: string, isWanted: (digest: Digest) => boolean): Promise<void> {
  for (const { name } of await listFolder(`${root}/${INGEST}`) ?? []) {
    const digest = digestOfPieces(name);
    if (isDigest(digest) && !isWanted(digest)) await removeIfPresent(`${root}/${INGEST}/${name}`);
  }
}

/** Removes partial files, except for those that a writer has locked. */
export async function sweepPartials(root: string, digests: Iterable<Digest>): Promise<void> {
  for (const digest of digests) await removeIfUnused(`${root}/${partialPath(digest)}`);
}

/** Removes stale temporary files that crashed writers left. Does nothing if the folder is missing or not writable. */
export async function sweepStale(root: string): Promise<void> {
  try {
    await sweepIngest(root, { minAge: STALE_MILLISECONDS });
  } catch (error) {
    if (!(isAbsent(error) || isNotWritable(error))) throw error;
  }
}

async function isOlder(path: string, time: number): Promise<boolean> {
  return ((await ifPresent(Deno.lstat(path)))?.mtime?.getTime() ?? Infinity) < time;
}

async function isWanted(root: string, name: string): Promise<boolean> {
  const digest = digestOfPartial(name);
  if (!isDigest(digest)) return false;
  return await ifPresent(Deno.lstat(`${root}/${blobPath(digest)}`)) === undefined;
}
