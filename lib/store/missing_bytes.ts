import type { Descriptor } from "../oci/manifest.ts";
import { blobPath, partialPath } from "./layout.ts";
import { sizeOfFile } from "./store_scan.ts";

/** Content of a repository. */
export interface NeededContent {
  readonly descriptor: Pick<Descriptor, "digest" | "size">;
  readonly repository: string;
}

/**
 * Counts the bytes that a store lacks of some content. What an interrupted download for its repository left counts as
 * present.
 *
 * @param root the data folder
 */
export function countMissingBytes(root: string, content: Iterable<NeededContent>): number {
  let missing = 0;
  for (const { descriptor: { digest, size }, repository } of content) {
    if (sizeOfFile(`${root}/${blobPath(digest)}`) === size) continue;
    missing += Math.max(0, size - (sizeOfFile(`${root}/${partialPath(digest, repository)}`) ?? 0));
  }
  return missing;
}
