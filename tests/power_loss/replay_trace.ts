import { joinChunks } from "../../lib/bytes/join_chunks.ts";
import { FileInode, FolderInode, type Inode } from "./disk_model.ts";
import type { SystemCall } from "./parse_trace.ts";

interface OpenFile {
  readonly inode: Inode | undefined;
  position: number;
  readonly isAppending: boolean;
}

const decoder = new TextDecoder();
// Calls that do nothing to a file whatever their arguments are, or are understood below for sockets only.
const HARMLESS = new Set(["sendto", "sendmsg", "sync_file_range"]);

/**
 * Replays the system calls of a process on the model of a disk. Calls on files outside of the folder, and on files that
 * were not opened in it, have no effect.
 */
export class TraceReplay {
  readonly root: FolderInode;
  readonly #folder: string;
  readonly #files = new Map<number, OpenFile>();

  /** @param folder the folder of the model, as an absolute path @param root its content before the first call */
  constructor(folder: string, root: FolderInode) {
    this.#folder = folder;
    this.root = root;
  }

  /**
   * Applies one call.
   *
   * @returns whether it may have changed what survives
   * @throws {Error} for a call on a file of the folder that the model does not know
   */
  apply(call: SystemCall): boolean {
    const { name, args, result } = call;
    if (result < 0 || HARMLESS.has(name)) return false;
    const file = this.#files.get(Number(args[0]));
    switch (name) {
      case "open":
      case "creat":
      case "openat":
        return this.#open(call);
      case "close":
        return this.#files.delete(Number(args[0])) && false;
      case "fcntl":
        if (args[1]?.startsWith("F_DUPFD")) this.#duplicate(file, result);
        return false;
      case "dup":
      case "dup2":
      case "dup3":
        this.#duplicate(file, result);
        return false;
      case "lseek":
        if (file !== undefined) file.position = result;
        return false;
      case "mkdir":
      case "mkdirat":
        return this.#link(this.#placeOf(call, name === "mkdir" ? 0 : 1), new FolderInode(), call);
      case "unlink":
      case "rmdir":
        return this.#unlink(this.#placeOf(call, 0), call);
      case "unlinkat":
        return this.#unlink(this.#placeOf(call, 1), call);
      case "rename":
      case "renameat":
      case "renameat2":
      case "link":
      case "linkat":
        return this.#rename(call);
      default:
        return file?.inode === undefined ? false : this.#change(file, call);
    }
  }

  #open(call: SystemCall): boolean {
    const flags = call.args.find((arg) => arg.startsWith("O_"))?.split("|") ?? ["O_CREAT", "O_TRUNC"];
    const place = this.#placeOf(call, call.name === "openat" ? 1 : 0);
    const held = place && (place.name === "" ? place.folder : place.folder.current.get(place.name));
    const isNew = place !== undefined && held === undefined;
    const inode = isNew ? new FileInode() : held;
    if (isNew) this.#link(place, inode!, call);
    this.#files.set(call.result, { inode, position: 0, isAppending: flags.includes("O_APPEND") });
    if (!flags.includes("O_TRUNC") || !(inode instanceof FileInode) || inode.current.length === 0) return isNew;
    inode.change({ kind: "resize", size: 0 }, call.ended);
    return true;
  }

  #duplicate(file: OpenFile | undefined, descriptor: number): void {
    // Both descriptors share one position.
    if (file === undefined) this.#files.delete(descriptor);
    else this.#files.set(descriptor, file);
  }

  #change(file: OpenFile, call: SystemCall): boolean {
    const { name, args, result, strings, began, ended } = call;
    const { inode } = file;
    if (name === "fsync" || name === "fdatasync") {
      inode!.sync(began);
      return true;
    }
    if (!(inode instanceof FileInode)) throw new Error(`Cannot replay ${name} of a folder`);
    if (name === "ftruncate") inode.change({ kind: "resize", size: Number(args[1]) }, ended);
    else if (name === "write" || name === "writev" || name === "pwrite64") {
      const bytes = joinChunks(strings).subarray(0, result);
      const isHere = name !== "pwrite64";
      const offset = !isHere ? Number(args[3]) : file.isAppending ? inode.current.length : file.position;
      inode.change({ kind: "write", offset, bytes }, ended);
      if (isHere) file.position = offset + result;
    } else throw new Error(`Cannot replay ${name}(${args.join(", ")}): the model does not know it`);
    return true;
  }

  #rename(call: SystemCall): boolean {
    const isAt = call.name.includes("at");
    const [from, to] = [this.#placeOf(call, isAt ? 1 : 0), this.#placeOf(call, isAt ? 3 : 1)];
    const inode = from?.folder.current.get(from.name);
    if (from === undefined && to === undefined) return false;
    if (from === undefined || to === undefined || inode === undefined) {
      throw new Error(`Cannot replay ${call.name}: one of the names is outside of the folder`);
    }
    if (!call.name.startsWith("link")) from.folder.change({ name: from.name }, call.ended);
    return this.#link(to, inode, call);
  }

  #link(place: Place | undefined, inode: Inode, { ended }: SystemCall): boolean {
    place?.folder.change({ name: place.name, inode }, ended);
    return place !== undefined;
  }

  #unlink(place: Place | undefined, { ended }: SystemCall): boolean {
    place?.folder.change({ name: place.name }, ended);
    return place !== undefined;
  }

  // The folder and the name that an argument means; `undefined` outside of the folder. Name "" is the folder itself.
  #placeOf({ args, strings }: SystemCall, index: number): Place | undefined {
    const path = decoder.decode(strings[args.slice(0, index).filter((arg) => arg === "$").length]);
    const base = index === 0 || args[index - 1] === "AT_FDCWD" ? undefined : this.#files.get(Number(args[index - 1]));
    if (base?.inode instanceof FolderInode && !path.startsWith("/")) return placeIn(base.inode, path);
    if (path !== this.#folder && !path.startsWith(`${this.#folder}/`)) return undefined;
    return placeIn(this.root, path.slice(this.#folder.length + 1));
  }
}

interface Place {
  readonly folder: FolderInode;
  readonly name: string;
}

function placeIn(root: FolderInode, path: string): Place {
  const names = path.split("/").filter((name) => name !== "" && name !== ".");
  const last = names.pop() ?? "";
  let folder = root;
  for (const name of names) {
    const next = folder.current.get(name);
    if (!(next instanceof FolderInode)) throw new Error(`Cannot replay the trace: ${path} is in no known folder`);
    folder = next;
  }
  return { folder, name: last };
}

/** Reads a folder into the model, as a disk on which everything is synced. */
export function readFolder(path: string): FolderInode {
  const folder = new FolderInode();
  for (const { name, isDirectory } of Deno.readDirSync(path)) {
    let inode: Inode;
    if (isDirectory) inode = readFolder(`${path}/${name}`);
    else {
      inode = new FileInode();
      inode.change({ kind: "write", offset: 0, bytes: Deno.readFileSync(`${path}/${name}`) }, 0);
      inode.sync(1);
    }
    folder.change({ name, inode }, 0);
  }
  folder.sync(1);
  return folder;
}
