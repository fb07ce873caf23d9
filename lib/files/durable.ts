const COMMIT_TRIES = 5;

/**
 * Creates a folder and those above it, and makes sure that they are still there after a power loss: a new folder is
 * only as durable as the entry in the folder that holds it.
 */
export async function createFolder(path: string): Promise<void> {
  const created: string[] = [];
  for (let at = path; !(await isFolder(at)); at = parentOf(at)) created.push(at);
  if (created.length === 0) return;
  await Deno.mkdir(path, { recursive: true });
  for (const folder of created.reverse()) await syncFolder(parentOf(folder));
}

/** Makes renames and new files in a folder durable. */
export async function syncFolder(path: string): Promise<void> {
  // Windows gives no handle on a folder, and needs none.
  if (Deno.build.os === "windows") return;
  const folder = await Deno.open(path);
  try {
    await folder.sync();
  } finally {
    folder.close();
  }
}

/** Moves a file whose bytes are synced into its place, over an older one, so that it stays there. */
export async function commitFile(temporary: string, path: string): Promise<void> {
  const folder = parentOf(path);
  for (let tries = 1;; tries++) {
    try {
      await createFolder(folder);
      await Deno.rename(temporary, path);
      break;
    } catch (error) {
      // A collector at work beside us removes folders that are empty, as this one is until the file is in it.
      if (!(error instanceof Deno.errors.NotFound) || tries === COMMIT_TRIES) throw error;
    }
  }
  try {
    await syncFolder(folder);
  } catch (error) {
    // The collector has the file already, and with it its folder; whoever refers to it looks after it once more.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Whom a file belongs to, and what they may do with it. */
export interface Ownership {
  readonly mode: number;
  /** Absent, both: the process's own. */
  readonly uid?: number;
  readonly gid?: number;
}

/**
 * Writes a small file so that it is there whole or not at all, whenever the power goes.
 *
 * @param ownership of the file; absent: that of any new file
 */
export async function writeFileDurably(
  temporary: string,
  path: string,
  bytes: Uint8Array,
  ownership?: Ownership,
): Promise<void> {
  await createFolder(parentOf(temporary));
  // Before the first byte is in it, only its owner may read a file that others must not.
  const mode = ownership === undefined ? {} : { mode: 0o600 };
  const file = await Deno.open(temporary, { write: true, createNew: true, ...mode });
  try {
    try {
      for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      await file.syncData();
    } finally {
      file.close();
    }
    if (ownership !== undefined) await giveOwnership(temporary, ownership);
    await commitFile(temporary, path);
  } catch (error) {
    await removeIfPresent(temporary);
    throw error;
  }
}

async function giveOwnership(path: string, { mode, uid, gid }: Ownership): Promise<void> {
  const own = await Deno.stat(path);
  if (uid !== undefined && gid !== undefined && (own.uid !== uid || own.gid !== gid)) await Deno.chown(path, uid, gid);
  await Deno.chmod(path, mode);
}

/** Removes a file that may be gone already. */
export async function removeIfPresent(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The folder that holds `path`. */
export function parentOf(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash > 0 ? path.slice(0, slash) : slash === 0 ? "/" : ".";
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
