import { isDigest } from "../oci/digest.ts";
import { createFolder, removeIfThere } from "./durable.ts";
import { tryLockFile } from "./file_lock.ts";
import { blobPath, digestOfPartial, INGEST } from "./layout.ts";

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
  if (!await tryLockFile(file)) {
    file.close();
    throw new FolderInUseError(
      `Cannot serve ${root}: another crpe is serving it; stop that one, or choose another folder with --data`,
    );
  }
  await sweepIngest(root);
  return { [Symbol.dispose]: () => file.close() };
}

/** Tells whether an error means that the folder may be read but not written. */
export function isNotWritable(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable ||
    (error as { code?: string }).code === "EROFS";
}

/**
 * Removes temporary files that a crash left. Those in use are locked; partial downloads whose blob is still missing
 * stay, to be gone on with.
 */
async function sweepIngest(root: string): Promise<void> {
  for await (const { name, isFile } of Deno.readDir(`${root}/${INGEST}`)) {
    const isTemporary = name.endsWith(".tmp") || name.endsWith(".partial");
    if (!isFile || !isTemporary || await isWanted(root, name)) continue;
    await removeIfUnused(`${root}/${INGEST}/${name}`);
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

async function removeIfUnused(path: string): Promise<void> {
  try {
    using file = await Deno.open(path, { write: true });
    if (await tryLockFile(file)) await removeIfThere(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
