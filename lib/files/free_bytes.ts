import { statfs } from "node:fs/promises";
import { parentOf } from "./durable.ts";

/** How many bytes may be written below a folder, which need not exist yet; `undefined` where the system does not tell. */
export async function freeBytesOf(folder: string): Promise<number | undefined> {
  for (let at = folder;; at = parentOf(at)) {
    try {
      const { bavail, bsize } = await statfs(at);
      return bavail * bsize;
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT" || at === parentOf(at)) return undefined;
    }
  }
}
