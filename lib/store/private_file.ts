import { writeFileDurably } from "../files/durable.ts";
import { holdLock } from "../files/locked_file.ts";
import { INGEST, temporaryPath } from "./layout.ts";

/** Writes a small file durably, readable by its owner only. @param data the data folder that it belongs to */
export async function writePrivateFile(data: string, path: string, content: string | Uint8Array): Promise<void> {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  await writeFileDurably(path, bytes, { temporary: temporaryPath(data), ownership: { mode: 0o600 } });
}

/**
 * Reads what a data folder has once, such as the key of a node, and makes it if there is none yet. Of several processes
 * that start at once, one makes it.
 *
 * @param read returns `undefined` if there is none yet
 */
export async function readOrMake<T>(
  data: string,
  read: () => Promise<T | undefined>,
  make: () => Promise<void>,
): Promise<T> {
  const found = await read();
  if (found !== undefined) return found;
  using _lock = await holdLock(`${data}/${INGEST}/node-key.lock`);
  // Another process may have made it meanwhile.
  const made = await read();
  if (made !== undefined) return made;
  await make();
  return (await read())!;
}
