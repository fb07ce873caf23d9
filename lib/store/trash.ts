import { commitFile, createFolder, removeIfPresent } from "../files/durable.ts";
import { ifPresent, ifPresentSync, isAbsent } from "../files/if_present.ts";
import { BLOBS, fetchedMarkPath, INGEST, mediaTypePath, REPOSITORIES } from "./layout.ts";
import { parseSystemError } from "../oci/system_error.ts";

/** The folder of files that are about to be removed, under their original paths. */
const TRASH = `${INGEST}/trash`;

/**
 * Moves a file of the data folder to the trash, so that it can be checked again before it is removed. The files beside a
 * manifest's link go with it.
 *
 * @param path path relative to the data folder
 * @returns `false` when the file does not exist
 */
export async function moveAside(root: string, path: string): Promise<boolean> {
  const target = trashPath(path);
  // Not synced: after a power loss the file is either here or in its original place, and not lost.
  await createFolder(`${root}/${target.slice(0, target.lastIndexOf("/"))}`, { isSynced: false, isNew: true });
  try {
    // Synchronous: a collection moves thousands of files, and an asynchronous request, through another thread, costs ten
    // times as much.
    Deno.renameSync(`${root}/${path}`, `${root}/${target}`);
    for (const beside of filesBeside(path)) moveIfPresent(`${root}/${beside}`, `${root}/${trashPath(beside)}`);
  } catch (error) {
    if (!isAbsent(error)) throw error;
    return false;
  } finally {
    removeEmptyFolders(root, path);
  }
  return true;
}

function moveIfPresent(from: string, to: string): void {
  ifPresentSync(() => Deno.renameSync(from, to));
}

/** Returns the path in the trash of a file, relative to the data folder. */
export function trashPath(path: string): string {
  return `${TRASH}/${path}`;
}

/** Moves a file back. A file stored in its place meanwhile is identical, since the path determines the content. */
export async function moveBack(root: string, path: string): Promise<void> {
  // First, so that the link never is without them.
  for (const beside of filesBeside(path)) {
    if (await isPresent(`${root}/${trashPath(beside)}`)) await moveBack(root, beside);
  }
  await commitFile(`${root}/${trashPath(path)}`, `${root}/${path}`);
}

// The media type of a manifest, and the mark of a fetched one.
function filesBeside(path: string): string[] {
  return [mediaTypePath(path), fetchedMarkPath(path)].filter((beside) => beside !== undefined);
}

async function isPresent(path: string): Promise<boolean> {
  return await ifPresent(Deno.lstat(path)) !== undefined;
}

/** Moves back all files that an interrupted collection left in the trash. Must be called with writers excluded. */
export async function restoreTrash(root: string): Promise<void> {
  for (const path of await listFiles(`${root}/${TRASH}`)) {
    // A file beside a link may have been moved back with it.
    if (await isPresent(`${root}/${trashPath(path)}`)) await moveBack(root, path);
  }
  await emptyTrash(root);
}

/** Permanently removes all files in the trash. */
export async function emptyTrash(root: string): Promise<void> {
  await ifPresent(Deno.remove(`${root}/${TRASH}`, { recursive: true }));
}

/** Removes a file of the data folder, the files beside a manifest's link, and the folders that become empty. */
export async function removeFile(root: string, path: string): Promise<void> {
  // First the link: without its mark, a fetched manifest would grant the blobs that it names.
  for (const each of [path, ...filesBeside(path)]) await removeIfPresent(`${root}/${each}`);
  removeEmptyFolders(root, path);
}

/**
 * Removes the empty folders above a file, up to the folders that every store has. Those have at most 256 for the first
 * digits of blobs: asking each time whether one is empty would cost more than removing the blob.
 */
export function removeEmptyFolders(root: string, path: string): void {
  const isBlob = path.startsWith(`${BLOBS}/`);
  for (let at = path.lastIndexOf("/"); at > 0; at = path.lastIndexOf("/", at - 1)) {
    const folder = path.slice(0, at);
    if (folder === REPOSITORIES || !removeEmptyFolder(`${root}/${folder}`) || isBlob) return;
  }
}

// ENOTEMPTY of Linux, of macOS, and of Windows.
const NOT_EMPTY = [39, 66, 145];

function removeEmptyFolder(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return true;
    if (NOT_EMPTY.includes(parseSystemError(error)?.number ?? 0)) return false;
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
  await ifPresent(walk(""));
  return found;
}
