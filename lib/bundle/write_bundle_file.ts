import { commitFile, createFolder, parentOf, removeIfThere } from "../content/durable.ts";
import { isNoSpace } from "../content/ingest.ts";
import { NoSpaceError } from "../oci/error.ts";
import type { ByteSink } from "./gzip_writer.ts";

/**
 * Writes a file that is there whole, and synced, or not at all: first as a dot-file beside it.
 *
 * @param write writes the content; the file gets its name when it returns
 * @param randomName a name nobody else has
 * @throws {NoSpaceError} when the disk is full
 */
export async function writeBundleFile<T>(
  path: string,
  write: (sink: ByteSink) => Promise<T>,
  randomName: () => string = () => crypto.randomUUID(),
): Promise<T> {
  const folder = parentOf(path);
  const temporary = `${folder === "/" ? "" : folder}/.${path.slice(path.lastIndexOf("/") + 1)}.${randomName()}.tmp`;
  await createFolder(folder);
  const file = await Deno.open(temporary, { write: true, createNew: true });
  try {
    let result: T;
    try {
      result = await write({ write: (bytes) => writeAll(file, bytes, path) });
      await file.sync();
    } finally {
      file.close();
    }
    await commitFile(temporary, path);
    return result;
  } catch (error) {
    await removeIfThere(temporary);
    throw error;
  }
}

async function writeAll(file: Deno.FsFile, bytes: Uint8Array, path: string): Promise<void> {
  try {
    for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  } catch (cause) {
    if (!isNoSpace(cause)) throw cause;
    throw new NoSpaceError(`Cannot write ${path}: no space left on the device`, { cause });
  }
}
