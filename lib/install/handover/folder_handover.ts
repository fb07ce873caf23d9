import { createFolder, removeIfPresent, syncFolder, writeFileDurably } from "../../files/durable.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover.ts";
import { formatHandover } from "./manifest_file.ts";

/** Dependencies of a `FolderHandover`. */
export interface FolderHandoverOptions {
  /** Waits, before a file is removed, as long as the cluster may take to notice that it was changed. */
  readonly waitForWatcher?: () => Promise<void>;
}

/**
 * Hands packages over in the folder that k3s (or another watcher) polls, with one file for each package. A file is
 * written under a name with a leading dot, which watchers ignore, and then renamed.
 *
 * The watcher deletes objects that leave a file from the cluster, but keeps the objects of a file that is removed. A
 * file is therefore emptied first, and removed after the watcher has seen the empty file.
 */
export class FolderHandover implements Handover {
  readonly #folder: string;
  readonly #waitForWatcher: () => Promise<void>;

  constructor(folder: string, { waitForWatcher = () => Promise.resolve() }: FolderHandoverOptions = {}) {
    this.#folder = folder;
    this.#waitForWatcher = waitForWatcher;
  }

  async place(): Promise<HandoverPlace> {
    return { manifestsDir: await Deno.realPath(this.#folder) };
  }

  async prepare(): Promise<void> {
    try {
      await createFolder(this.#folder);
      const path = this.#temporaryPath("probe");
      (await Deno.open(path, { write: true, create: true })).close();
      await removeIfPresent(path);
    } catch (cause) {
      throw new Error(`Cannot write manifests into ${this.#folder}: ${reasonOf(cause)}; nothing was changed`, {
        cause,
      });
    }
  }

  /** Compares the file byte for byte. */
  async isHandedOver(kubepkg: KubePkg): Promise<boolean> {
    const { name, text } = formatHandover(kubepkg);
    const [found, expected] = [await this.#read(name), new TextEncoder().encode(text)];
    return found !== undefined && found.length === expected.length && found.every((byte, i) => byte === expected[i]);
  }

  async handOver(kubepkg: KubePkg): Promise<HandoverResult> {
    const { name, text } = formatHandover(kubepkg);
    return { where: await this.#write(name, text), left: [] };
  }

  async remove(kubepkg: KubePkg): Promise<HandoverResult> {
    const { name } = formatHandover(kubepkg);
    const path = this.pathOf(kubepkg);
    if (await this.#read(name) === undefined) return { where: path, left: [] };
    await this.#write(name, "");
    await this.#waitForWatcher();
    await removeIfPresent(path);
    await syncFolder(this.#folder);
    return { where: path, left: [] };
  }

  /** Returns the path of a package's file. */
  pathOf(kubepkg: KubePkg): string {
    return `${this.#folder}/${formatHandover(kubepkg).name}`;
  }

  /**
   * Removes the file of a package without emptying it first: its objects stay in the cluster, for another owner.
   *
   * @returns whether the file existed
   */
  async removeFileOnly(kubepkg: KubePkg): Promise<boolean> {
    const exists = await this.#read(formatHandover(kubepkg).name) !== undefined;
    if (exists) {
      await removeIfPresent(this.pathOf(kubepkg));
      await syncFolder(this.#folder);
    }
    return exists;
  }

  async #write(name: string, text: string): Promise<string> {
    // The temporary name is always the same, so the next write removes the file that a crash has left.
    const [path, temporary] = [`${this.#folder}/${name}`, this.#temporaryPath(name)];
    await removeIfPresent(temporary);
    await writeFileDurably(path, new TextEncoder().encode(text), { temporary });
    return path;
  }

  async #read(name: string): Promise<Uint8Array | undefined> {
    try {
      return await Deno.readFile(`${this.#folder}/${name}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
      throw error;
    }
  }

  #temporaryPath(name: string): string {
    return `${this.#folder}/.${name}.tmp`;
  }
}

// Deno appends the error number, the call and the path to the system's message; only that message is kept.
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
    return "a part of the path is a file, not a folder";
  }
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/ \(os error \d+\).*$/s, "").toLowerCase();
}
