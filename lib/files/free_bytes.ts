import { statfs } from "node:fs/promises";
import { parentOf } from "./parent_of.ts";

/**
 * Returns the free space, in bytes, of the file system that holds a folder. The folder need not exist yet.
 *
 * @returns `undefined` when the system does not report it
 */
export async function freeBytesOf(folder: string): Promise<number | undefined> {
  for (let at = folder;; at = parentOf(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT" || at === parentOf(at)) return undefined;
    }
  }
}
