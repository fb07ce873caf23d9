/** Returns `undefined` for the error of a missing file or folder. Throws any other error. */
export function absentIfNotFound(error: unknown): undefined {
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
  throw error;
}

/** Returns the entries of a folder; `undefined` when it is missing. */
export async function listFolder(path: string): Promise<Deno.DirEntry[] | undefined> {
  try {
    return await Array.fromAsync(Deno.readDir(path));
  } catch (error) {
    return absentIfNotFound(error);
  }
}

/** Returns the text of a file; `undefined` when it is missing. */
export async function readTextIfPresent(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    return absentIfNotFound(error);
  }
}

/** Returns the bytes of a file; `undefined` when it is missing. */
export async function readIfPresent(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    return absentIfNotFound(error);
  }
}
