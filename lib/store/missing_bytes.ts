import type { Descriptor } from "../oci/manifest.ts";
import { blobPath, partialPath } from "./layout.ts";
import { sizeOfFile } from "./store_scan.ts";

/**
 * Counts the bytes that a store lacks of some content. What an interrupted download left counts as present.
 *
 * @param root the data folder
 */
export function countMissingBytes(root: string, content: Iterable<Pick<Descriptor, "digest" | "size">>): number {
  let missing = 0;
  for (const { digest, size } of content) {
    if (sizeOfFile(`${root}/${blobPath(digest)}`) === size) continue;
    missing += Math.max(0, size - (sizeOfFile(`${root}/${partialPath(digest)}`) ?? 0));
  }
  return missing;
}
