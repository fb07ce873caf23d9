import { cannot, NoSpaceError } from "../oci/error.ts";
import { createFolder } from "./durable.ts";
import { isNoSpace } from "./no_space.ts";

/**
 * A temporary file without a name: it is removed from its folder right after it was opened, so that its space is free
 * again when the process ends, however it ends.
 *
 * Reads and writes are synchronous: they mostly meet the page cache, where a thread would cost more than the copy.
 */
export class ScratchFile implements Disposable {
  readonly #file: Deno.FsFile;
  #size = 0;
  /** Position of the file's cursor. */
  #cursor = 0;

  private constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  /** Opens an empty file in a folder, which is created if it is missing. */
  static async open(folder: string): Promise<ScratchFile> {
    await createFolder(folder, { isSynced: false });
    const path = `${folder}/${crypto.randomUUID()}.tmp`;
    const file = await Deno.open(path, { read: true, write: true, createNew: true, mode: 0o600 });
    try {
      await Deno.remove(path);
    } catch (error) {
      file.close();
      throw error;
    }
    return new ScratchFile(file);
  }

  /** Number of bytes appended so far. */
  get size(): number {
    return this.#size;
  }

  /** Appends bytes. @throws {NoSpaceError} when the disk is full */
  append(bytes: Uint8Array): void {
    this.#seek(this.#size);
    try {
      for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    } catch (cause) {
      // Part of the bytes may have been written.
      this.#cursor = NaN;
      if (!isNoSpace(cause)) throw cause;
      throw new NoSpaceError(cannot("write a temporary file", "no space left on the device"), { cause });
    }
    this.#size += bytes.length;
    this.#cursor = this.#size;
  }

  /** Fills `target` from a position, and returns the number of bytes read; fewer than asked for only at the end. */
  readAt(position: number, target: Uint8Array): number {
    this.#seek(position);
    let filled = 0;
    while (filled < target.length) {
      const count = this.#file.readSync(target.subarray(filled));
      if (count === null) break;
      filled += count;
    }
    this.#cursor += filled;
    return filled;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }

  #seek(position: number): void {
    if (this.#cursor !== position) this.#file.seekSync(position, Deno.SeekMode.Start);
    this.#cursor = position;
  }
}
