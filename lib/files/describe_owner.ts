import { isAbsent } from "./if_present.ts";
import { parentOf } from "./parent_of.ts";

/** Who owns the folder that a file is to be written to. */
interface FolderOwner {
  /** `root`, `uid 1000`, or `an unknown user`. */
  readonly owner: string;
  /** `/data/blobs belongs to root (mode 755)` */
  readonly text: string;
}

/** Finds the nearest existing folder above a path, which must be writable to create, replace or remove a file. */
export function describeOwner(path: string): FolderOwner {
  for (let at = parentOf(path);; at = parentOf(at)) {
    let found: Deno.FileInfo;
    try {
      found = Deno.lstatSync(at);
    } catch (error) {
      if (isAbsent(error) && parentOf(at) !== at) continue;
      return { owner: "an unknown user", text: `${at} belongs to an unknown user` };
    }
    const owner = found.uid === null ? "an unknown user" : found.uid === 0 ? "root" : `uid ${found.uid}`;
    const mode = found.mode === null ? "" : ` (mode ${(found.mode & 0o7777).toString(8)})`;
    return { owner, text: `${at} belongs to ${owner}${mode}` };
  }
}
