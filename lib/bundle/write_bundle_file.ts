import type { ByteSink } from "../archive/gzip_writer.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { commitFile, createFolder, removeIfPresent, restrictToOwner } from "../files/durable.ts";
import { parentOf } from "../files/parent_of.ts";
import { lockFile } from "../files/file_lock.ts";
import { isNoSpace } from "../files/no_space.ts";
import { cannot, CorruptError, CrpeError, NoSpaceError } from "../oci/error.ts";
import { checkRoom } from "./check_room.ts";
import type { PartialFile } from "./resume_pack.ts";
import type { BundleOutput } from "./write_bundle.ts";

/** Options for writing a bundle file. */
export interface WriteBundleOptions {
  /** The size of the file in bytes, if it is known: a file that its folder has no room for is refused. */
  readonly size?: number;
  /**
   * The mode of a new file, from which the umask is subtracted. By default only the owner can read the file, because the
   * manifests of a bundle may hold Secrets.
   */
  readonly mode?: number;
  /** What to do about a file that is too large for FAT; see `checkRoom`. */
  readonly advice?: string;
  /**
   * Called with the path of the partial file when it is open. A file for which this is set cannot be resumed: what a
   * failure leaves of it is removed.
   */
  readonly onBegin?: (partial: string) => void;
  /** Called when writing has failed, with the size in bytes of the partial file that can be resumed. */
  readonly onKept?: (bytes: number) => void;
}

/** Longest chain of symbolic links that is followed, as on Linux. */
const MAX_LINKS = 40;
const OPEN_TRIES = 5;
const OWNER_ONLY = 0o600;
/** The mode of a file that everybody may read whom the umask allows it. */
export const SHARED_MODE = 0o666;

/**
 * Returns the path of a bundle: `path` itself, or `fileName` in it when `path` is an existing folder or ends in a slash.
 */
export async function chooseBundlePath(path: string, fileName: string): Promise<string> {
  const isFolder = path.endsWith("/") || (await statOf(path, Deno.stat))?.isDirectory === true;
  return isFolder ? `${path.replace(/\/+$/, "")}/${fileName}` : path;
}

/**
 * Writes a file atomically: it exists complete and synced, or not at all. The bytes go to a locked `.<name>.partial` in
 * the same folder. The partial file remains when the process ends or writing fails, so that the next call can resume it.
 * It is removed when its content is wrong or the disk is full. A symbolic link is kept, and its target is written. A pipe or device is written directly.
 *
 * @param write writes the content, after what it keeps of `partial`. The file is committed when it returns
 * @throws {NoSpaceError} when the disk is full, or has no room for a file of the given size, which is then not begun
 * @throws {Error} when another process is writing the same file, or the reader of a pipe has closed it
 */
export async function writeBundleFile<T>(
  path: string,
  write: (output: BundleOutput) => Promise<T>,
  { size, mode = OWNER_ONLY, advice, onBegin, onKept }: WriteBundleOptions = {},
): Promise<T> {
  const target = await followLinks(path);
  const existing = await statOf(target, Deno.lstat);
  if (existing?.isDirectory) throw new CrpeError(cannot(`write ${path}`, "it is a folder"));
  if (existing !== undefined && !existing.isFile) {
    using file = await Deno.open(target, { write: true });
    return await write(createSink(file, path));
  }
  const folder = parentOf(target);
  const temporary = partialPathOf(target);
  if (size !== undefined) await checkRoom(folder, [{ path, size, present: await sizeOf(temporary) }], { advice });
  await createFolder(folder);
  // The file stays open, and so locked, until it is committed or removed. No other process may resume it meanwhile.
  using file = await openTemporary(temporary, path, mode);
  onBegin?.(temporary);
  try {
    const result = await write({ ...createSink(file, path), partial: createPartialFile(file) });
    await file.sync();
    await commitFile(temporary, target);
    return result;
  } catch (error) {
    const { size: kept } = await file.stat();
    if (onBegin !== undefined || mustDiscard(error) || kept === 0) await removeIfPresent(temporary);
    else onKept?.(kept);
    throw error;
  }
}

/** Lists the files that `writeBundleFile` replaces: the target of a link, and the partial file beside it. */
export async function listWrittenFiles(path: string): Promise<[target: string, partial: string]> {
  const target = await followLinks(path);
  return [target, partialPathOf(target)];
}

/** The file beside `path` into which it is written until it is complete. */
export function partialPathOf(path: string): string {
  const folder = parentOf(path);
  return `${folder === "/" ? "" : folder}/.${path.slice(path.lastIndexOf("/") + 1)}.partial`;
}

/** The size of a file in bytes; 0 when it is missing. */
export async function sizeOf(path: string): Promise<number> {
  return (await statOf(path, Deno.stat))?.size ?? 0;
}

/** Wraps an open file as a `PartialFile`. */
export function createPartialFile(file: Deno.FsFile): PartialFile {
  return {
    readAt: async (position, buffer) => {
      await file.seek(position, Deno.SeekMode.Start);
      let filled = 0;
      while (filled < buffer.length) {
        const got = await file.read(buffer.subarray(filled));
        if (got === null) break;
        filled += got;
      }
      return filled;
    },
    cut: async (length) => {
      await file.truncate(length);
      await file.seek(length, Deno.SeekMode.Start);
    },
  };
}

// On a full disk the space has to be freed. After wrong content, the rest of the file cannot be trusted either.
function mustDiscard(error: unknown): boolean {
  return error instanceof NoSpaceError || isNoSpace(error) || error instanceof DigestMismatchError ||
    error instanceof CorruptError;
}

/**
 * Creates a sink that writes to an open file.
 *
 * @param name name of the file in errors
 */
export function createSink(file: { write(bytes: Uint8Array): Promise<number> }, name: string): ByteSink {
  return {
    write: async (bytes) => {
      try {
        for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      } catch (cause) {
        if (cause instanceof Deno.errors.BrokenPipe) {
          throw new CrpeError(cannot(`write ${name}`, "the reader has closed the pipe"), { cause });
        }
        if (!isNoSpace(cause)) throw cause;
        throw new NoSpaceError(cannot(`write ${name}`, "no space left on the device"), { cause });
      }
    },
  };
}

async function openTemporary(temporary: string, path: string, mode: number): Promise<Deno.FsFile> {
  for (let tries = 1; tries <= OPEN_TRIES; tries++) {
    const file = await Deno.open(temporary, { read: true, write: true, create: true, mode });
    try {
      if (await lockFile(file, temporary) === "taken") {
        throw new CrpeError(
          cannot(`write ${path}`, "another crpe is writing it", "wait for it to finish, or choose another name"),
        );
      }
      const [opened, atPath] = [await file.stat(), await statOf(temporary, Deno.lstat)];
      if (atPath !== undefined && !atPath.isFile) {
        throw new CrpeError(cannot(`write ${path}`, `${temporary} is not a regular file`, "remove it"));
      }
      // Between opening and locking, the previous lock holder may have renamed the file to its final name.
      if (atPath !== undefined && atPath.ino === opened.ino && atPath.dev === opened.dev) {
        // The partial file of an earlier release of crpe may be readable by all.
        if (mode === OWNER_ONLY) await restrictToOwner(temporary, file);
        return file;
      }
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
  throw new CrpeError(cannot(`write ${path}`, "other processes keep writing it", "choose another name"));
}

async function followLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; (await statOf(at, Deno.lstat))?.isSymlink; links++) {
    if (links === MAX_LINKS) throw new CrpeError(cannot(`write ${path}`, "too many symbolic links lead from it"));
    const target = await Deno.readLink(at);
    at = target.startsWith("/") ? target : `${parentOf(at)}/${target}`;
  }
  return at;
}

async function statOf(
  path: string,
  stat: (path: string) => Promise<Deno.FileInfo>,
): Promise<Deno.FileInfo | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
