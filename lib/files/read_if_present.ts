/** `undefined` for the error of a file or folder that is not there; throws any other. */
export function absentIfNotFound(error: unknown): undefined {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
  throw error;
}

/** The entries of a folder; `undefined` where there is none. */
export async function listFolder(path: string): Promise<Deno.DirEntry[] | undefined> {
  try {
    return await Array.fromAsync(Deno.readDir(path));
  } catch (error) {
    return absentIfNotFound(error);
  }
}

/** The text of a file; `undefined` where there is none. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    return absentIfNotFound(error);
  }
}
