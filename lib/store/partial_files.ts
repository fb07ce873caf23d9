import { ifPresent, listFolder } from "../files/if_present.ts";
import { isInUse, removeIfUnused } from "../files/remove_if_unused.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { digestOfPartial, INGEST, partialPath } from "./layout.ts";

/** The received beginning of a blob, from which a download resumes. */
export interface PartialBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** When it was last written to. */
  readonly written: Date;
  /** Whether a download is writing it. */
  readonly isInUse: boolean;
}

/** Lists the partial files of a data folder, the oldest first. */
export async function listPartialBlobs(root: string): Promise<PartialBlob[]> {
  const found: PartialBlob[] = [];
  for (const { name, isFile } of await listFolder(`${root}/${INGEST}`) ?? []) {
    const digest = digestOfPartial(name);
    const path = `${root}/${INGEST}/${name}`;
    const stat = isFile && isDigest(digest) ? await ifPresent(Deno.lstat(path)) : undefined;
    if (stat === undefined || !isDigest(digest)) continue;
    found.push({ digest, size: stat.size, written: stat.mtime ?? new Date(0), isInUse: await isInUse(path) });
  }
  return found.sort((a, b) => a.written.getTime() - b.written.getTime());
}

/** Removes the partial files that no download is writing. @returns those that were removed */
export async function removePartialBlobs(root: string, { dryRun = false } = {}): Promise<PartialBlob[]> {
  const unused = (await listPartialBlobs(root)).filter(({ isInUse }) => !isInUse);
  if (dryRun) return unused;
  const removed: PartialBlob[] = [];
  for (const partial of unused) {
    if (await removeIfUnused(`${root}/${partialPath(partial.digest)}`)) removed.push(partial);
  }
  return removed;
}
