import { cannot, CrpeError } from "../oci/error.ts";
import { ifPresent, ifPresentSync } from "./if_present.ts";
import { inheritOwner, openOwned } from "./inherit_owner.ts";
import { parentOf } from "./parent_of.ts";

const COMMIT_TRIES = 5;
const OWNER_ONLY = 0o600;
/** The new folders whose entry in the parent folder is being synced. */
const folderSyncs = new Map<string, Promise<void>>();
/** The folders that `createFolder` does not create again. */
const guarded = new Map<string, Guard>();

interface Guard {
  /** The device and the file number of the folder. */
  place: string | undefined;
  readonly isBack: () => boolean;
}

/**
 * Guards a folder until the returned handle is disposed of: when it is moved, removed or unmounted, nothing is created in
 * its place.
 *
 * @param isBack reports whether a folder on another device is the same by its content: one that was mounted again may be
 */
export function guardFolder(path: string, isBack = () => false): Disposable {
  guarded.set(path, { place: findPlace(path), isBack });
  return { [Symbol.dispose]: () => void guarded.delete(path) };
}

/** Checks that a guarded folder is still the same. @throws {CrpeError} when it is not */
export function checkFolder(path: string): void {
  const guard = guarded.get(path);
  if (guard === undefined) return;
  const place = findPlace(path);
  if (place === guard.place) return;
  if (place !== undefined && guard.isBack()) {
    guard.place = place;
    return;
  }
  throw new CrpeError(
    cannot(`use ${path}`, "it was moved, removed or unmounted while crpe is running", "bring it back, or restart crpe"),
  );
}

function findPlace(path: string): string | undefined {
  const found = ifPresentSync(() => Deno.statSync(path));
  return found && `${found.dev} ${found.ino}`;
}

/**
 * Creates a folder and its missing parents so that they survive a power loss: a new folder is only as durable as its
 * entry in the parent folder, so every parent is synced.
 *
 * @param isSynced false for folders that need not survive
 * @param isNew whether the folder probably does not exist, and its parent does
 * @throws {CrpeError} when it is a guarded folder that is not the same any more, or would be made in the place of one
 */
export async function createFolder(path: string, { isSynced = true, isNew = false } = {}): Promise<void> {
  // One that was unmounted is there still, as an empty mount point.
  checkFolder(path);
  const created = isNew && createNew(path) ? [path] : createMissing(path);
  if (!isSynced) return;
  for (const folder of created) {
    const synced = syncFolder(parentOf(folder)).finally(() => {
      if (folderSyncs.get(folder) === synced) folderSyncs.delete(folder);
    });
    synced.catch(() => {});
    folderSyncs.set(folder, synced);
  }
  // Also those that a concurrent caller has created.
  const awaited = [...folderSyncs].filter(([folder]) => `${path}/`.startsWith(`${folder}/`));
  await Promise.all(awaited.map(([, synced]) => synced));
}

// Without a pause, so that no concurrent caller sees a folder that has no owner yet, which its own would inherit.
function createMissing(path: string): string[] {
  const missing: string[] = [];
  for (let at = path; !isFolder(at); at = parentOf(at)) missing.push(at);
  if (missing.length > 0) {
    for (const folder of guarded.keys()) if (`${path}/`.startsWith(`${folder}/`)) checkFolder(folder);
  }
  const created = missing.reverse();
  for (const folder of created) {
    Deno.mkdirSync(folder, { recursive: true });
    inheritOwner(folder);
  }
  return created;
}

// Asking first whether the folder exists would cost as much again. A failure other than that is met again by the caller.
function createNew(path: string): boolean {
  try {
    Deno.mkdirSync(path);
  } catch {
    return false;
  }
  inheritOwner(path);
  return true;
}

/** Syncs a folder, which makes its renames and new files durable. */
export async function syncFolder(path: string): Promise<void> {
  // Windows cannot open a folder for syncing, and does not need it.
  if (Deno.build.os === "windows") return;
  // Synchronous, as in `isFolder`: the folder was just used, so nothing is read from the disk.
  using folder = Deno.openSync(path);
  await folder.sync();
}

/** Renames a file whose bytes are synced to its final path, durably. Creates the folder and replaces an older file. */
export async function commitFile(temporary: string, path: string): Promise<void> {
  const folder = parentOf(path);
  for (let tries = 1;; tries++) {
    try {
      // The folder of a blob or a link is named after it.
      await createFolder(folder, { isNew: true });
      // Synchronous, like the creation of the folder: an asynchronous request, through another thread, costs ten times
      // as much.
      Deno.renameSync(temporary, path);
      break;
    } catch (error) {
      // A concurrent garbage collection removes empty folders, also this one before the rename.
      if (!(error instanceof Deno.errors.NotFound) || tries === COMMIT_TRIES) throw error;
    }
  }
  // If absent, the garbage collection has already removed the file and its folder. A writer that adds a reference to the
  // file checks again that it exists.
  await ifPresent(syncFolder(folder));
}

/** Owner and permissions of a file. */
export interface Ownership {
  readonly mode: number;
  /** `uid` and `gid` are both absent for the user of this process. */
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Writes a small file atomically: after a power loss it exists complete or not at all.
 *
 * @param temporary path of the temporary file, on the same file system
 * @param ownership owner and permissions; by default those of any new file
 */
export async function writeFileDurably(
  path: string,
  bytes: Uint8Array,
  { temporary, ownership }: { readonly temporary: string; readonly ownership?: Ownership | undefined },
): Promise<void> {
  await createFolder(parentOf(temporary));
  // A file with restricted permissions must not be readable by others before its first byte is written.
  const mode = ownership === undefined ? {} : { mode: OWNER_ONLY };
  const file = await openOwned(temporary, { write: true, createNew: true, ...mode });
  try {
    try {
      // Synchronous, because the bytes are few, and only syncing them waits for the disk.
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
      await file.syncData();
    } finally {
      file.close();
    }
    if (ownership !== undefined) await setOwnership(temporary, ownership);
    await commitFile(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary);
    throw error;
  }
}

async function setOwnership(path: string, { mode, uid, gid }: Ownership): Promise<void> {
  const now = await Deno.stat(path);
  if (uid !== undefined && gid !== undefined && (now.uid !== uid || now.gid !== gid)) await Deno.chown(path, uid, gid);
  // The file was created with this mode. A file system without permissions (FAT) would refuse to set it.
  if (mode === OWNER_ONLY) return;
  await Deno.chmod(path, mode);
}

/**
 * Makes an open file readable by its owner alone, as far as its file system has permissions.
 *
 * @param path the path of the file
 */
export async function restrictToOwner(path: string, file: Deno.FsFile): Promise<void> {
  const { mode } = await file.stat();
  if (mode !== null && (mode & 0o077) !== 0) await Deno.chmod(path, OWNER_ONLY).catch(() => {});
}

/** Removes a file. A missing file is not an error. */
export async function removeIfPresent(path: string): Promise<void> {
  await ifPresent(Deno.remove(path));
}

// Synchronous: an asynchronous request, through another thread, costs ten times as much.
function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
