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
