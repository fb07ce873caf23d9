import { ifPresentSync } from "../files/if_present.ts";
import { repositoryPath, revisionsPath, tagLinkPath, tagsPath, temporaryPath } from "./layout.ts";
import { listNameFolders, nameFolder, type RepositoryContents } from "./store_scan.ts";

// Names of tags that are remembered. The repositories that have more count as changed.
const MAX_TAGS = 200_000;
// Names that are remembered. The repositories above count as changed, so that memory is bounded.
const MAX_NAMES = 50_000;
// What was changed this shortly before the first walk may be changed again with the same time stamp. FAT has a
// resolution of 2 seconds, and the runtime rounds `ctime` down to seconds.
const MARGIN_MILLISECONDS = 3000;
// By how much the clock of the file system and that of this process may differ after the time between two walks.
const DRIFT_MILLISECONDS = 1000;

/** Options of `ChangedRepositories.watch`. */
export interface WatchOptions {
  /** How long before the first walk a repository must have changed for the last time, to count as unchanged. */
  readonly margin?: number;
  /** A clock that is never set, in milliseconds. */
  readonly now?: () => number;
  /** How many names are remembered; 50,000 by default. */
  readonly maxNames?: number;
}

/**
 * Finds the repositories that changed since a first walk over a store, so that a second walk need not read the others.
 *
 * Time stamps are compared with the time before the first walk, as the file system states it: a file that is renamed to
 * a link, or written in place, and a folder in which something is created, get the time of that change. A time stamp
 * of `ctime` cannot be set. Of a folder that is renamed only its own `ctime` changes, not the times of what is in it: a
 * replaced folder above repositories is recognized by its inode, and then all below it are changed. All that is unusual
 * (see `RepositoryContents`), missing or unknown counts as changed.
 */
export class ChangedRepositories {
  readonly #root: string;
  readonly #since: number;
  readonly #start: ClockPair;
  readonly #now: () => number;
  readonly #maxNames: number;
  readonly #folders = new Map<string, NameFolder>();
  /** The tags of the repositories that are remembered; `undefined` if they do not count. */
  readonly #tags = new Map<string, readonly string[] | undefined>();
  #tagCount = 0;

  /** Starts before the first walk. @param root the data folder, in which a file is written */
  static async watch(root: string, options: WatchOptions = {}): Promise<ChangedRepositories> {
    const { margin = MARGIN_MILLISECONDS, now = () => performance.now(), maxNames = MAX_NAMES } = options;
    return new ChangedRepositories(root, { margin, now, maxNames, start: await readClocks(root, now) });
  }

  private constructor(root: string, options: Required<WatchOptions> & { readonly start: ClockPair }) {
    this.#root = root;
    this.#start = options.start;
    this.#since = options.start.file - options.margin;
    this.#now = options.now;
    this.#maxNames = options.maxNames;
  }

  /** As `listNameFolders`. The folder of a name is read again only if it has changed, and then counts as changed. */
  listFolders(name: string): readonly string[] {
    const path = nameFolder(name);
    const known = this.#folders.get(name);
    if (known !== undefined && !this.#isRecent(path)) return known.folders;
    this.#tags.delete(name);
    const folders = listNameFolders(this.#root, name);
    // Read afterwards: what is below is read later still, from the folder that has this inode.
    const inode = isLeaf(folders) ? undefined : stat(`${this.#root}/${path}`)?.ino ?? undefined;
    const hadFolders = known !== undefined && known !== LEAF;
    if (hadFolders && (inode === undefined || inode !== known.inode)) this.#forgetBelow(name);
    if (!isLeaf(folders)) this.#folders.set(name, { folders, inode });
    else if (known !== undefined || this.#folders.size < this.#maxNames) this.#folders.set(name, LEAF);
    return folders;
  }

  /** Remembers a repository whose links and manifests were read in the first walk, without an error. */
  remember({ name, tagNames, isRegular }: RepositoryContents): void {
    const count = tagNames?.length ?? 0;
    if (!isRegular || this.#tags.size >= this.#maxNames || this.#tagCount + count > MAX_TAGS) return;
    this.#tagCount += count;
    this.#tags.set(name, tagNames);
  }

  /**
   * Reports whether the tags or manifests of a repository may have changed. Its links to blobs do not count, nor do tags
   * that were not read. The folder of its name was checked by `listFolders`.
   */
  isChanged(name: string): boolean {
    if (!this.#tags.has(name)) return true;
    const tags = this.#tags.get(name);
    const revisions = revisionsPath(name);
    const folders = [`${repositoryPath(name)}/_manifests`, revisions, `${revisions}/sha256`];
    if (tags !== undefined) folders.push(tagsPath(name));
    if (folders.some((path) => this.#isRecent(path))) return true;
    return (tags ?? []).some((tag) => {
      const link = tagLinkPath(name, tag);
      // A rename changes the time stamp of the folder, and not that of the file on every file system.
      return this.#isRecent(link.slice(0, link.lastIndexOf("/"))) || this.#isRecent(link);
    });
  }

  /** Reports whether time stamps could be compared: the clock of the file system was not set meanwhile. */
  async isClockSteady(): Promise<boolean> {
    const end = await readClocks(this.#root, this.#now);
    const elapsed = end.steady - this.#start.steady;
    return Math.abs(end.file - this.#start.file - elapsed) < DRIFT_MILLISECONDS;
  }

  #forgetBelow(name: string): void {
    const prefix = name === "" ? "" : `${name}/`;
    for (const known of [this.#folders, this.#tags]) {
      for (const each of known.keys()) if (each.startsWith(prefix)) known.delete(each);
    }
  }

  #isRecent(path: string): boolean {
    const found = stat(`${this.#root}/${path}`);
    if (found === undefined || found.isSymlink) return true;
    const { mtime, ctime } = found;
    // Negated, so that a time that is not known counts as recent.
    return !(Math.max(mtime?.getTime() ?? NaN, ctime?.getTime() ?? NaN) < this.#since);
  }
}

// The folders of most repositories, shared so that each takes no memory.
const LEAF: NameFolder = { folders: ["_layers", "_manifests"], inode: undefined };

function isLeaf(folders: readonly string[]): boolean {
  return folders.length === LEAF.folders.length && folders.every((folder, i) => folder === LEAF.folders[i]);
}

/** The folder of a name. */
interface NameFolder {
  readonly folders: readonly string[];
  /** `undefined` for a folder that has none below it, or where the file system has no inodes. */
  readonly inode: number | undefined;
}

/** The time by two clocks, in milliseconds. */
interface ClockPair {
  /** The clock of the file system, which may be that of another machine, and may be set. */
  readonly file: number;
  readonly steady: number;
}

async function readClocks(root: string, now: () => number): Promise<ClockPair> {
  const path = temporaryPath(root);
  // The file has no content, so that it can be written to a full disk.
  const file = await Deno.writeFile(path, new Uint8Array(0), { createNew: true })
    .then(async () => (await Deno.lstat(path)).mtime?.getTime() ?? NaN)
    // NaN: everything counts as changed, and the clock as not steady.
    .catch(() => NaN);
  const steady = now();
  await Deno.remove(path).catch(() => {});
  return { file, steady };
}

function stat(path: string): Deno.FileInfo | undefined {
  return ifPresentSync(() => Deno.lstatSync(path));
}
