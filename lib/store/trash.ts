import { commitFile, removeIfPresent } from "../files/durable.ts";
import { BLOBS, INGEST, REPOSITORIES } from "./layout.ts";

/** Where what is about to be removed lies, under the names that it had. */
const TRASH = `${INGEST}/trash`;

/**
 * Moves a file of the data folder out of sight, so that it can be told once more whether it is needed before it goes.
 *
 * @param path below the data folder
 * @returns `false` when it was not there
 */
export async function moveAside(root: string, path: string): Promise<boolean> {
  const target = trashPath(path);
  // Not synced: whether the power loss finds a file here or in its old place, it is not lost.
  await Deno.mkdir(`${root}/${target.slice(0, target.lastIndexOf("/"))}`, { recursive: true });
  try {
    await Deno.rename(`${root}/${path}`, `${root}/${target}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return false;
  } finally {
    await removeEmptyFolders(root, path);
  }
  return true;
}

/** Where a file is that was moved aside, below the data folder. */
export function trashPath(path: string): string {
  return `${TRASH}/${path}`;
}

/** Moves a file back. What took its place meanwhile is the same: its name says what it holds. */
export async function moveBack(root: string, path: string): Promise<void> {
  await commitFile(`${root}/${trashPath(path)}`, `${root}/${path}`);
}

/** Moves everything back that a collection which did not come to its end has left. To be called with writers kept out. */
export async function restoreTrash(root: string): Promise<void> {
  for (const path of await listFiles(`${root}/${TRASH}`)) await moveBack(root, path);
  await emptyTrash(root);
}

/** Removes all that was moved aside, for good. */
export async function emptyTrash(root: string): Promise<void> {
  try {
    await Deno.remove(`${root}/${TRASH}`, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Removes a file of the data folder, and the folders that are empty without it. */
export async function removeFile(root: string, path: string): Promise<void> {
  await removeIfPresent(`${root}/${path}`);
  await removeEmptyFolders(root, path);
}

/** Removes the folders above a file that have nothing in them, up to those that every store has. */
export async function removeEmptyFolders(root: string, path: string): Promise<void> {
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
    const folder = path.slice(0, at);
    if (folder === REPOSITORIES || folder === BLOBS || !(await removeEmptyFolder(`${root}/${folder}`))) return;
  }
}

async function removeEmptyFolder(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    // Not empty: there is no error of its own for that.
    if (/os error (?:39|66|145)\b/.test((error as Error).message)) return false;
    throw error;
  }
}

async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (prefix: string) => {
    for await (const { name, isDirectory } of Deno.readDir(`${folder}/${prefix}`)) {
      if (isDirectory) await walk(`${prefix}${name}/`);
      else found.push(prefix + name);
    }
  };
  try {
    await walk("");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found;
}
