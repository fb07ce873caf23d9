import { createFolder, removeIfPresent } from "../files/durable.ts";
import { describeOwner } from "../files/describe_owner.ts";
import { findFolderFault } from "../files/folder_fault.ts";
import { listFolder } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import { lockFile } from "../files/file_lock.ts";
import { BLOBS, INGEST, REPOSITORIES, temporaryPath } from "../store/layout.ts";
import type { Finding } from "./finding.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** The dependencies of `checkDataFolder`. */
export interface DataFolderOptions {
  /** Returns the free bytes of a folder; `undefined` when the system does not report them. */
  readonly freeBytes: (folder: string) => Promise<number | undefined>;
  /** Formats a number of bytes. */
  readonly formatSize: (bytes: number) => string;
}

const LITTLE_BYTES = 2 ** 30;
const TOO_LITTLE_BYTES = 64 * 2 ** 20;
// Enough for 2,000 connections and the files that they read.
const ENOUGH_FILES = 4096;

/** Checks whether a data folder exists and can be used: rights, free space, locks, the limit of open files. */
export async function checkDataFolder(root: string, options: DataFolderOptions): Promise<Finding[]> {
  const step = "data folder";
  const fault = await findFolderFault(root);
  if (fault !== undefined) {
    return [{ step, status: "broken", message: `${root}: ${fault}`, advice: "name another with --data" }];
  }
  try {
    await Array.fromAsync(Deno.readDir(root));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      const message = `${root} does not exist yet; the first command that stores something creates it`;
      return [{ step, status: "warning", message, advice: "if it should have content, check --data" }];
    }
    const advice = "give the user of crpe read and write access (chown), or name another folder with --data";
    return [{ step, status: "broken", message: `${root} cannot be read: ${wordsOf(error)}`, advice }];
  }
  return [
    { step, status: "ok", message: `${root} exists` },
    ...await checkReading(root),
    ...await checkWriting(root),
    await checkSpace(root, options),
  ];
}

/** Checks whether the folders of images and blobs can be read; one of another user often cannot. */
async function checkReading(root: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const name of [REPOSITORIES, BLOBS]) {
    try {
      await listFolder(`${root}/${name}`);
    } catch (error) {
      // What is below a folder that must not be entered has no owner that can be seen.
      let at = `${root}/${name}`;
      while (at !== root && describeOwner(`${at}/_`).owner === "an unknown user") at = parentOf(at);
      const { text } = describeOwner(`${at}/_`);
      findings.push({
        step: "rights",
        status: "broken",
        message: `${root}/${name} cannot be read: ${wordsOf(error)}; ${text}`,
        advice: "run crpe as the user whose folder it is, or give it to the user of crpe (chown -R)",
      });
      break;
    }
  }
  return findings;
}

async function checkWriting(root: string): Promise<Finding[]> {
  // If this process is killed, the next start of the registry removes the file because of its name.
  const path = temporaryPath(root);
  try {
    await createFolder(`${root}/${INGEST}`);
    using file = await Deno.open(path, { write: true, createNew: true });
    const outcome = await lockFile(file, path);
    return [
      { step: "rights", status: "ok", message: "it is writable" },
      outcome === "unsupported"
        ? {
          step: "locks",
          status: "warning",
          message: "its file system does not support locks, so crpe cannot detect another crpe that serves it",
          advice: "make sure that only one crpe serves it, or put it on another file system with --data",
        }
        : { step: "locks", status: "ok", message: "its file system supports locks" },
      await checkOpenFiles(path),
    ];
  } catch (error) {
    return [{
      step: "rights",
      status: "broken",
      message: `it cannot be written: ${wordsOf(error)}; its content can be served, but nothing can be added`,
      advice: "give the user of crpe write access (chown), free some space, or name another folder with --data",
    }];
  } finally {
    await removeIfPresent(path).catch(() => {});
  }
}

async function checkSpace(root: string, { freeBytes, formatSize }: DataFolderOptions): Promise<Finding> {
  const step = "space";
  const free = await freeBytes(root);
  if (free === undefined) return { step, status: "skipped", message: "the system does not report the free space" };
  const message = `${formatSize(free)} free`;
  if (free >= LITTLE_BYTES) return { step, status: "ok", message };
  const advice = "free some space, limit the cache with --cache-max, or run crpe gc";
  return { step, status: free < TOO_LITTLE_BYTES ? "broken" : "warning", message, advice };
}

/** Measures how many files can be opened, because crpe has no permission to read the limit from /proc. */
async function checkOpenFiles(path: string): Promise<Finding> {
  const step = "open files";
  const files: Deno.FsFile[] = [];
  try {
    while (files.length < ENOUGH_FILES) files.push(await Deno.open(path));
    return { step, status: "ok", message: `at least ${ENOUGH_FILES} more can be open at once` };
  } catch {
    const message = `only ${files.length} more can be open at once, too few for many clients`;
    return { step, status: "warning", message, advice: "raise the limit: ulimit -n, or LimitNOFILE= of the service" };
  } finally {
    for (const file of files) file.close();
  }
}

function wordsOf(error: unknown): string {
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotADirectory) return "a part of the path is a file";
  return describeSystemError(error);
}
