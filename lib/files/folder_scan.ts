import { absentIfNotFound } from "./read_if_present.ts";

/** Options of `listFoldersSync`. */
export interface FolderOptions {
  /** Whether symbolic links are errors. By default they are left out. */
  readonly refusesLinks?: boolean;
}

/**
 * Lists the names of the folders in a folder, sorted by code unit; none if it is missing.
 *
 * @throws {Error} when the folder cannot be read, or has a symbolic link that is refused: it must not count as empty
 */
export function listFoldersSync(path: string, { refusesLinks = false }: FolderOptions = {}): string[] {
  const names: string[] = [];
  try {
    for (const { name, isDirectory, isSymlink } of Deno.readDirSync(path)) {
      if (isSymlink && refusesLinks) throw new Error(`Cannot scan ${path}/${name}: it is a symbolic link`);
      if (isDirectory) names.push(name);
    }
  } catch (error) {
    absentIfNotFound(error);
    return [];
  }
  return names.sort();
}

const MAX_MILLISECONDS = 8;

/** Lets other work run now and then during a long scan, whose steps are synchronous. */
export class Turns {
  #ended = performance.now();

  /** Called between two steps. When 8 ms have passed since it last waited, it waits until other work has run. */
  async next(): Promise<void> {
    // Not after each few steps: a timer takes at least a millisecond, which is as long as 200 of the shortest steps.
    if (performance.now() - this.#ended < MAX_MILLISECONDS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#ended = performance.now();
  }
}
