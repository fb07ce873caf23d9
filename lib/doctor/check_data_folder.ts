import { createFolder, removeIfPresent } from "../files/durable.ts";
import { lockFile } from "../files/file_lock.ts";
import { INGEST } from "../store/layout.ts";
import type { Finding } from "./finding.ts";

/** What looking at a data folder needs from outside. */
export interface DataFolderOptions {
  /** How many bytes may still be written there. */
  readonly freeBytes: (folder: string) => Promise<number | undefined>;
  /** Writes a number of bytes for people. */
  readonly formatSize: (bytes: number) => string;
  /** A name that nobody else has. */
  readonly randomName: () => string;
}

const LITTLE_BYTES = 2 ** 30;
const TOO_LITTLE_BYTES = 64 * 2 ** 20;
// 2,000 connections, and the files that they are given.
const ENOUGH_FILES = 4096;

/** Looks whether a data folder is there and can be used: rights, free space, locks, the limit of open files. */
export async function checkDataFolder(root: string, options: DataFolderOptions): Promise<Finding[]> {
  const step = "data folder";
  try {
    const { isDirectory } = await Deno.stat(root);
    if (!isDirectory) {
      return [{ step, status: "broken", message: `${root} is not a folder`, advice: "name another with --data" }];
    }
    await Array.fromAsync(Deno.readDir(root));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      const message = `${root} is not there yet; the first command that stores something makes it`;
      return [{ step, status: "warning", message, advice: "if there should be something in it, check --data" }];
    }
    const advice = "let the user that crpe runs as read and write it (chown), or name another with --data";
    return [{ step, status: "broken", message: `${root} cannot be read: ${wordsOf(error)}`, advice }];
  }
  return [
    { step, status: "ok", message: `${root} is there` },
    ...await checkWriting(root, options),
    await checkSpace(root, options),
  ];
}

async function checkWriting(root: string, { randomName }: DataFolderOptions): Promise<Finding[]> {
  // Named so that the next start of the registry sweeps it, should this be cut off.
  const path = `${root}/${INGEST}/${randomName()}.tmp`;
  try {
    await createFolder(`${root}/${INGEST}`);
    using file = await Deno.open(path, { write: true, createNew: true });
    const outcome = await lockFile(file);
    return [
      { step: "rights", status: "ok", message: "it can be written" },
      outcome === "unsupported"
        ? {
          step: "locks",
          status: "warning",
          message: "its file system knows no locks, so that crpe cannot tell whether another one serves it too",
          advice: "make sure that one crpe alone serves it, or put it on another file system with --data",
        }
        : { step: "locks", status: "ok", message: "its file system knows locks" },
      await checkOpenFiles(path),
    ];
  } catch (error) {
    return [{
      step: "rights",
      status: "broken",
      message: `it cannot be written: ${wordsOf(error)}; what it holds can be served, and nothing can be added`,
      advice: "let the user that crpe runs as write it (chown), free some space, or name another with --data",
    }];
  } finally {
    await removeIfPresent(path).catch(() => {});
  }
}

async function checkSpace(root: string, { freeBytes, formatSize }: DataFolderOptions): Promise<Finding> {
  const step = "space";
  const free = await freeBytes(root);
  if (free === undefined) return { step, status: "skipped", message: "the system does not tell how much is free" };
  const message = `${formatSize(free)} are free`;
  if (free >= LITTLE_BYTES) return { step, status: "ok", message };
  const advice = "free some, limit the cache with --cache-max, or run crpe gc";
  return { step, status: free < TOO_LITTLE_BYTES ? "broken" : "warning", message, advice };
}

/** The kernel's own answer is in a place that crpe has no permission for. */
async function checkOpenFiles(path: string): Promise<Finding> {
  const step = "open files";
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < ENOUGH_FILES) files.push(await Deno.open(path));
    return { step, status: "ok", message: `${ENOUGH_FILES} and more may be open at once` };
  } catch {
    const message = `only ${files.length} more may be open at once, which is too few for many clients`;
    return { step, status: "warning", message, advice: "raise the limit: ulimit -n, or LimitNOFILE= of the service" };
  } finally {
    for (const file of files) file.close();
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is a file";
  return error instanceof Error ? error.message.replace(/ \(os error.*$/s, "").toLowerCase() : String(error);
}
