import { createFolder, removeIfPresent } from "../files/durable.ts";
import { lockFile, tryLockFile } from "../files/file_lock.ts";
import { listFolder } from "../files/read_if_present.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { blobPath, digestOfPartial, digestOfPieces, INGEST } from "./layout.ts";
import { restoreTrash } from "./trash.ts";
import { tryKeepWritersOut } from "./write_lease.ts";

/** How old a temporary file has to be that is taken for a dead one while others are at work, in milliseconds. */
export const STALE_MILLISECONDS = 60 * 60 * 1000;

/** Says that another process serves the same data folder. */
export class FolderInUseError extends Error {
  override readonly name = "FolderInUseError";
}

/**
 * Takes the data folder for serving, for as long as the returned handle lives, and removes temporary files that
 * nobody is writing any more. On a folder that cannot be written it gives `undefined`: what is there can be served.
 *
 * @throws {FolderInUseError}
 */
export async function takeDataFolder(root: string): Promise<Disposable | undefined> {
  let file: Deno.FsFile;
  try {
    await createFolder(`${root}/${INGEST}`);
    file = await Deno.open(`${root}/${INGEST}/serving.lock`, { write: true, create: true });
  } catch (error) {
    if (isNotWritable(error)) return undefined;
    throw error;
  }
  // Where the file system knows no locks, one has to trust that nobody serves it twice.
  if (await lockFile(file) === "taken") {
    file.close();
    throw new FolderInUseError(
      `Cannot serve ${root}: another crpe is serving it; stop that one, or choose another folder with --data`,
    );
  }
  try {
    // Before writers are let in again: what a collection has moved aside belongs to nobody else then.
    using alone = await tryKeepWritersOut(root);
    await sweepIngest(root, { minAge: alone === undefined ? STALE_MILLISECONDS : 0 });
    if (alone !== undefined) await restoreTrash(root);
  } catch (error) {
    file.close();
    throw error;
  }
  return { [Symbol.dispose]: () => file.close() };
}

/** Tells whether an error means that the folder may be read but not written. */
export function isNotWritable(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable ||
    (error as { code?: string }).code === "EROFS";
}

/** Which temporary files are swept. */
export interface SweepOptions {
  /**
   * How long it has to be since a file was written, in milliseconds. A blob's file is locked while it is in use, but a
   * manifest's or a link's, which lives for a moment, is not: beside others who write, age alone tells.
   */
  readonly minAge: number;
  /** The clock that files are dated by, in milliseconds. */
  readonly now?: () => number;
}

/**
 * Removes temporary files that a crash left. Those in use are locked; partial downloads whose blob is still missing
 * stay, to be gone on with.
 */
export async function sweepIngest(root: string, { minAge, now = Date.now }: SweepOptions): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(`${root}/${INGEST}`)) {
    const isTemporary = name.endsWith(".tmp") || name.endsWith(".partial");
    if (!isFile || !isTemporary || await isWanted(root, name)) continue;
    const path = `${root}/${INGEST}/${name}`;
    if (minAge > 0 && !(await isOlder(path, now() - minAge))) continue;
    await removeIfUnused(path);
  }
}

/**
 * Removes pieces of blobs that nobody waits for. To be called with writers kept out, or for what nobody writes.
 *
 * @param isWanted whether the rest of a blob may still come
 */
export async function sweepPieces(root: string, isWanted: (digest: Digest) => boolean): Promise<void> {
  for (const { name } of await listFolder(`${root}/${INGEST}`) ?? []) {
    const digest = digestOfPieces(name);
    if (isDigest(digest) && !isWanted(digest)) await removeIfPresent(`${root}/${INGEST}/${name}`);
  }
}

/** Removes what writers left that died long ago; where it cannot be done, it is left to the next one. */
export async function sweepStale(root: string): Promise<void> {
  try {
    await sweepIngest(root, { minAge: STALE_MILLISECONDS });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || isNotWritable(error))) throw error;
  }
}

async function isOlder(path: string, time: number): Promise<boolean> {
  try {
    return ((await Deno.lstat(path)).mtime?.getTime() ?? Infinity) < time;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function isWanted(root: string, name: string): Promise<boolean> {
  const digest = digestOfPartial(name);
  if (!isDigest(digest)) return false;
  try {
    await Deno.lstat(`${root}/${blobPath(digest)}`);
    return false;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    throw error;
  }
}

/** Removes a file unless somebody has it locked. */
export async function removeIfUnused(path: string): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true });
    if (await tryLockFile(file)) await removeIfPresent(path);
  } catch (error) {
    // Another user's is not ours to remove.
    if (!(error instanceof Deno.errors.NotFound || isNotWritable(error))) throw error;
  }
}
