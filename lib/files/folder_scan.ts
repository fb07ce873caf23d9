import { ifPresentSync } from "./if_present.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** Options of `listFoldersSync`. */
export interface FolderOptions {
  /** Whether symbolic links, and a file in the place of the folder, are errors. By default they are left out. */
  readonly refusesLinks?: boolean;
}

/**
 * Lists the names of the folders in a folder, sorted by code unit; none if it is missing.
 *
 * @throws {Error} when the folder cannot be read, or has a symbolic link that is refused: it must not count as empty
 */
export function listFoldersSync(path: string, { refusesLinks = false }: FolderOptions = {}): string[] {
  const names: string[] = [];
  for (const { name, isDirectory, isSymlink } of readEntries(path, refusesLinks)) {
    if (isSymlink && refusesLinks) throw new CrpeError(cannot(`scan ${path}/${name}`, "it is a symbolic link"));
    if (isDirectory) names.push(name);
  }
  return names.sort();
}

function readEntries(path: string, refusesLinks: boolean): Deno.DirEntry[] {
  return ifPresentSync(() => {
    try {
      return [...Deno.readDirSync(path)];
    } catch (error) {
      if (!refusesLinks || !(error instanceof Deno.errors.NotADirectory)) throw error;
      throw new CrpeError(cannot(`scan ${path}`, "it, or a folder of its path, is a file"), { cause: error });
    }
  }) ?? [];
}
