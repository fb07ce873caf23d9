import { parentOf } from "./durable.ts";

/** Describes who may write a file: `/data/blobs belongs to root (uid 0, mode 755)`, for the nearest existing folder. */
export function describeOwner(path: string): string {
  for (let at = path;; at = parentOf(at)) {
    let found: Deno.FileInfo;
    try {
      found = Deno.lstatSync(at);
    } catch (error) {
      const isAbsent = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
      if (isAbsent && parentOf(at) !== at) continue;
      return `the owner of ${at} is not known`;
    }
    const { isDirectory, uid, mode } = found;
    // To create, replace or remove a file, its folder must be writable.
    if (!isDirectory && parentOf(at) !== at) continue;
    if (uid === null) return `${at} is not writable`;
    const details = `uid ${uid}${mode === null ? "" : `, mode ${(mode & 0o7777).toString(8)}`}`;
    return uid === 0 ? `${at} belongs to root (${details})` : `${at} belongs to another user (${details})`;
  }
}
