import type { Verifier } from "../content/verifier.ts";

const MAX_FILES = 64;

interface KnownFile {
  readonly verifier: Verifier;
  readonly stamp: string;
}

/**
 * The state of the hash at the end of partial files. An upload in thousands of chunks opens its file for each of them: without
 * this, each would read all bytes before it again. A file that was changed meanwhile is not known any more.
 */
export class PartialHashes {
  readonly #files = new Map<string, KnownFile>();

  /** Remembers the hash of a file's content. @param verifier has hashed exactly that content, and is not used any more */
  keep(path: string, file: Deno.FsFile, verifier: Verifier): void {
    const { size, stamp } = stampOf(file);
    if (size === 0 || size !== verifier.seen) return;
    this.#files.delete(path);
    this.#files.set(path, { verifier, stamp });
    const [oldest] = this.#files.keys();
    if (this.#files.size > MAX_FILES) this.#files.delete(oldest!);
  }

  /** Takes the hash of a file's content, if it is known. The position of the file is not moved. */
  take(path: string, file: Deno.FsFile): Verifier | undefined {
    const known = this.#files.get(path);
    this.#files.delete(path);
    return known?.stamp === stampOf(file).stamp ? known.verifier : undefined;
  }
}

function stampOf(file: Deno.FsFile): { size: number; stamp: string } {
  const { dev, ino, size, mtime, birthtime } = file.statSync();
  return { size, stamp: [dev, ino, size, mtime?.getTime(), birthtime?.getTime()].join() };
}
