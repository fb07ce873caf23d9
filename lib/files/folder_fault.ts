import { parentOf } from "./parent_of.ts";

/**
 * Finds out why a path cannot be that of a folder: it, or what should be a folder above it, is a file, or a link that leads
 * nowhere. A path without access is left to the command that uses it.
 *
 * @returns a clause; `undefined` if the folder exists, or can be created as far as is known
 */
export async function findFolderFault(path: string): Promise<string | undefined> {
  for (let at = path;; at = parentOf(at)) {
    const name = at === path ? "it" : at;
    try {
      const { isDirectory, isFile } = await Deno.stat(at);
      return isDirectory ? undefined : `${name} is ${isFile ? "a file" : "not a folder"}`;
    } catch (error) {
      const target = await Deno.readLink(at).catch(() => undefined);
      if (target !== undefined && error instanceof Deno.errors.FilesystemLoop) {
        return `${name} is a symbolic link that leads back to itself`;
      }
      if (target !== undefined && !(error instanceof Deno.errors.PermissionDenied)) {
        return `${name} is a symbolic link to ${target}, which does not exist`;
      }
      if (at === parentOf(at)) return undefined;
    }
  }
}
