// Not by its name: up to 2.7, Deno exports `lchownSync` only as a part of the whole module.
import fs from "node:fs";
import { isAbsent } from "./if_present.ts";
import { parentOf } from "./parent_of.ts";

/**
 * Gives a file or folder that root has created to the owner of the folder that it is in. So an import by root leaves nothing
 * in a data folder that the server, which runs as another user, cannot change. For other users nothing is done.
 */
export function inheritOwner(path: string): void {
  if (Deno.uid() !== 0) return;
  // Synchronous: the file was just created, and an asynchronous request, through another thread, costs ten times as much.
  if (Deno.lstatSync(path).uid !== 0) return;
  const { uid, gid } = Deno.statSync(parentOf(path));
  if (uid === null || gid === null || uid === 0) return;
  try {
    // A link is not followed, because the owner of the folder can put one there.
    fs.lchownSync(path, uid, gid);
  } catch {
    // A file system without owners refuses this.
  }
}

/** As `Deno.open`, for files that are created. A file of root is given to the owner of its folder (`inheritOwner`). */
export async function openOwned(path: string, options: Deno.OpenOptions): Promise<Deno.FsFile> {
  // Synchronous, as in `inheritOwner`, unless it could be a pipe that waits for its other end.
  const file = options.createNew || options.read ? Deno.openSync(path, options) : await Deno.open(path, options);
  try {
    inheritOwner(path);
    return file;
  } catch (error) {
    // A concurrent commit has renamed the file.
    if (isAbsent(error)) return file;
    file.close();
    throw error;
  }
}
