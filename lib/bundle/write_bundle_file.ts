import type { ByteSink } from "../archive/gzip_writer.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { commitFile, createFolder, parentOf, removeIfPresent } from "../files/durable.ts";
import { lockFile } from "../files/file_lock.ts";
import { isNoSpace } from "../files/no_space.ts";
import { CorruptError, NoSpaceError } from "../oci/error.ts";
import type { PartialFile } from "./resume_pack.ts";
import type { BundleOutput } from "./write_bundle.ts";

/** How a bundle's file is written. */
export interface WriteBundleOptions {
  /** Told that the file is being written which stays when the process ends, or writing fails. */
  readonly onBegin?: () => void;
  /** Told that writing has failed, and how many bytes are there for the next one to go on from. */
  readonly onKept?: (bytes: number) => void;
}

/** Most symbolic links that lead to a file, as Linux has it. */
const MAX_LINKS = 40;
const OPEN_TRIES = 5;

/** Where a bundle goes: into a folder (what is one, or ends in a slash) under its own name. */
export async function chooseBundlePath(path: string, fileName: string): Promise<string> {
  const isFolder = path.endsWith("/") || (await statOf(path, Deno.stat))?.isDirectory === true;
  return isFolder ? `${path.replace(/\/+$/, "")}/${fileName}` : path;
}

/**
 * Writes a file that is there whole, and synced, or not at all: first as `.<name>.partial` beside it, which is locked
 * meanwhile. Where the process ends or writing fails it stays, and the next one may go on from it; not so where its content
 * is wrong, or the disk is full and wants the space back. A symbolic link stays, and what it leads to is written. What is
 * no regular file (a pipe, a device) is written as it is.
 *
 * @param write writes the content, behind what it leaves of `partial`; the file gets its name when it returns
 * @throws {NoSpaceError} when the disk is full
 * @throws {Error} when another process is writing the same file, or whoever read a pipe has stopped
 */
export async function writeBundleFile<T>(
  path: string,
  write: (output: BundleOutput) => Promise<T>,
  { onBegin, onKept }: WriteBundleOptions = {},
): Promise<T> {
  const target = await followLinks(path);
  const there = await statOf(target, Deno.lstat);
  if (there?.isDirectory) throw new Error(`Cannot write ${path}: it is a folder`);
  if (there !== undefined && !there.isFile) {
    using file = await Deno.open(target, { write: true });
    return await write(createSink(file, path));
  }
  const folder = parentOf(target);
  await createFolder(folder);
  const temporary = `${folder === "/" ? "" : folder}/.${target.slice(target.lastIndexOf("/") + 1)}.partial`;
  // Open, and so locked, until the file has its name or is given up: nobody must take over what is about to move.
  using file = await openTemporary(temporary, path);
  onBegin?.();
  try {
    const result = await write({ ...createSink(file, path), partial: createPartialFile(file) });
    await file.sync();
    await commitFile(temporary, target);
    return result;
  } catch (error) {
    const { size } = await file.stat();
    if (isWorthless(error) || size === 0) await removeIfPresent(temporary);
    else onKept?.(size);
    throw error;
  }
}

/** An open file as one that may hold the beginning of what is going to be written. */
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

// With a full disk the space is wanted back; where content is wrong nobody knows what else is.
function isWorthless(error: unknown): boolean {
  return error instanceof NoSpaceError || isNoSpace(error) || error instanceof DigestMismatchError ||
    error instanceof CorruptError;
}

/**
 * Takes a bundle's bytes for an open file.
 *
 * @param name the file's in errors
 */
export function createSink(file: { write(bytes: Uint8Array): Promise<number> }, name: string): ByteSink {
  return {
    write: async (bytes) => {
      try {
        for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
      } catch (cause) {
        if (cause instanceof Deno.errors.BrokenPipe) {
          throw new Error(`Cannot write ${name}: whoever read it has stopped`, { cause });
        }
        if (!isNoSpace(cause)) throw cause;
        throw new NoSpaceError(`Cannot write ${name}: no space left on the device`, { cause });
      }
    },
  };
}

async function openTemporary(temporary: string, path: string): Promise<Deno.FsFile> {
  for (let tries = 1; tries <= OPEN_TRIES; tries++) {
    const file = await Deno.open(temporary, { read: true, write: true, create: true });
    try {
      if (await lockFile(file) === "taken") {
        throw new Error(`Cannot write ${path}: another crpe is writing it; wait for its end, or choose another name`);
      }
      const [opened, there] = [await file.stat(), await statOf(temporary, Deno.lstat)];
      if (there !== undefined && !there.isFile) throw new Error(`Cannot write ${path}: ${temporary} is in the way`);
      // Who had it before us may have given it its final name since we opened it.
      if (there !== undefined && there.ino === opened.ino && there.dev === opened.dev) return file;
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
  throw new Error(`Cannot write ${path}: others keep writing it`);
}

async function followLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; (await statOf(at, Deno.lstat))?.isSymlink; links++) {
    if (links === MAX_LINKS) throw new Error(`Cannot write ${path}: too many symbolic links lead from it`);
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
