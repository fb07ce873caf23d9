import { commitFile, createFolder, parentOf, removeIfThere } from "../content/durable.ts";
import { lockFile } from "../content/file_lock.ts";
import { isNoSpace } from "../content/ingest.ts";
import { NoSpaceError } from "../oci/error.ts";
import type { ByteSink } from "./gzip_writer.ts";

/** How a bundle's file is written. */
export interface WriteBundleOptions {
  /** Takes what removes the unfinished file at once, for a process that is about to end. */
  readonly onBegin?: (discard: () => void) => void;
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
 * meanwhile and, if it was left behind, taken over by the next one. A symbolic link stays, and what it leads to is
 * written. What is no regular file (a pipe, a device) is written as it is.
 *
 * @param write writes the content; the file gets its name when it returns
 * @throws {NoSpaceError} when the disk is full
 * @throws {Error} when another process is writing the same file, or whoever read a pipe has stopped
 */
export async function writeBundleFile<T>(
  path: string,
  write: (sink: ByteSink) => Promise<T>,
  { onBegin }: WriteBundleOptions = {},
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
  // Open, and so locked, until the file has its name or is gone: nobody must take over what is about to move.
  using file = await openTemporary(temporary, path);
  let isOurs = true;
  onBegin?.(() => {
    if (isOurs) Deno.removeSync(temporary);
    isOurs = false;
  });
  try {
    const result = await write(createSink(file, path));
    await file.sync();
    await commitFile(temporary, target);
    return result;
  } catch (error) {
    if (isOurs) await removeIfThere(temporary);
    throw error;
  } finally {
    isOurs = false;
  }
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
    const file = await Deno.open(temporary, { write: true, create: true });
    try {
      if (await lockFile(file) === "taken") {
        throw new Error(`Cannot write ${path}: another crpe is writing it; wait for its end, or choose another name`);
      }
      const [opened, there] = [await file.stat(), await statOf(temporary, Deno.lstat)];
      if (there !== undefined && !there.isFile) throw new Error(`Cannot write ${path}: ${temporary} is in the way`);
      // Who had it before us may have given it its final name since we opened it.
      if (there !== undefined && there.ino === opened.ino && there.dev === opened.dev) {
        await file.truncate();
        return file;
      }
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
