/** Tests whether an error says that a file or folder is missing: also that a part of its path is a file. */
export function isAbsent(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/**
 * Awaits an operation on a file or folder.
 *
 * @returns its result; `undefined` when the file or folder is missing
 * @throws any other error of the operation
 */
export async function ifPresent<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** As `ifPresent`, for a synchronous operation. */
export function ifPresentSync<T>(operation: () => T): T | undefined {
  try {
    return operation();
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Returns the entries of a folder; `undefined` when it is missing. */
export function listFolder(path: string): Promise<Deno.DirEntry[] | undefined> {
  return ifPresent(Array.fromAsync(Deno.readDir(path)));
}
