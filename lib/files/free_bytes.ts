import { statfs } from "node:fs/promises";
import { parentOf } from "./parent_of.ts";

/** What a file system has room for. */
export interface FileSystemRoom {
  /** Free space in bytes. */
  readonly free: number;
  /** The size of the largest file in bytes, where the file system has a small limit. */
  readonly maxFile?: number;
}

// The type that Linux reports for FAT (statfs(2)); exFAT has a type of its own, and no such limit.
const FAT_TYPE = 0x4d44;
/** The size of the largest file on FAT, in bytes: its sizes are numbers of 32 bits. */
export const FAT_MAX_FILE = 2 ** 32 - 1;

/** As `statfs` of `node:fs/promises`. */
type ReadFileSystem = (path: string) => Promise<{ blocks: number; bavail: number; bsize: number; type: number }>;

/**
 * Returns the room of the file system that holds a folder. The folder need not exist yet.
 *
 * @returns `undefined` when the system does not report it
 */
export async function readRoom(
  folder: string,
  read: ReadFileSystem = statfs,
): Promise<FileSystemRoom | undefined> {
  for (let at = folder;; at = parentOf(at)) {
    try {
      const { blocks, bavail, bsize, type } = await read(at);
      // A file system in user space need not report its size.
      if (blocks === 0) return undefined;
      return { free: bavail * bsize, maxFile: type === FAT_TYPE ? FAT_MAX_FILE : undefined };
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT" || at === parentOf(at)) return undefined;
    }
  }
}

/**
 * Returns the free space, in bytes, of the file system that holds a folder. The folder need not exist yet.
 *
 * @returns `undefined` when the system does not report it
 */
export async function freeBytesOf(folder: string): Promise<number | undefined> {
  return (await readRoom(folder))?.free;
}
