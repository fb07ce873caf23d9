import { createFolder, removeIfPresent, syncFolder, writeFileDurably } from "../../files/durable.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Handover, HandoverPlace, HandoverResult } from "./handover.ts";
import { formatHandover } from "./manifest_file.ts";

/** What a `FolderHandover` is given from outside. */
export interface FolderHandoverOptions {
  /** Waits as long as the cluster may take to notice that a file has changed; before a file is removed. */
  readonly waitForWatcher?: () => Promise<void>;
}

/**
 * Hands packages over in the folder that k3s (or another watcher) polls, one file a package: written under a name with a
 * leading dot, which watchers ignore, then renamed. What leaves the file leaves the cluster, but what was in a file that
 * is removed stays: so one is emptied first, and removed when the watcher has seen that.
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
    const [there, expected] = [await this.#read(name), new TextEncoder().encode(text)];
    return there !== undefined && there.length === expected.length && there.every((byte, i) => byte === expected[i]);
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

  /** The file of a package. */
  pathOf(kubepkg: KubePkg): string {
    return `${this.#folder}/${formatHandover(kubepkg).name}`;
  }

  /**
   * Removes the file alone: its objects stay in the cluster, and are from now on somebody else's.
   *
   * @returns whether there was one
   */
  async giveUp(kubepkg: KubePkg): Promise<boolean> {
    const isThere = await this.#read(formatHandover(kubepkg).name) !== undefined;
    if (isThere) {
      await removeIfPresent(this.pathOf(kubepkg));
      await syncFolder(this.#folder);
    }
    return isThere;
  }

  async #write(name: string, text: string): Promise<string> {
    // The temporary name is always the same, so that what a crash has left there does not stay.
    const [path, temporary] = [`${this.#folder}/${name}`, this.#temporaryPath(name)];
    await removeIfPresent(temporary);
    await writeFileDurably(temporary, path, new TextEncoder().encode(text));
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

// Deno's messages name the call and the path behind the number.
function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.AlreadyExists || error instanceof Deno.errors.NotADirectory) {
    return "a part of the path is a file, not a folder";
  }
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/ \(os error \d+\).*$/s, "").toLowerCase();
}
