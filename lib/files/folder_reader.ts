import { ifPresent, listFolder } from "./if_present.ts";

/** Reads files by their paths on another machine, or in another root folder. */
export interface FolderReader {
  /** Reads a file; `undefined` when it is missing. */
  readonly readText: (path: string) => Promise<string | undefined>;
  /** Lists the names in a folder; empty when it is missing. */
  readonly listNames: (folder: string) => Promise<string[]>;
}

/** Creates a reader. @param prefix what to put in front of each path: the root folder without a slash at its end */
export function createFolderReader(prefix: string): FolderReader {
  return {
    readText: (path) => ifPresent(Deno.readTextFile(prefix + path)),
    listNames: async (folder) => (await listFolder(prefix + folder) ?? []).map(({ name }) => name).sort(),
  };
}
