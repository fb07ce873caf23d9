import { ifPresent, ifPresentSync, listFolder } from "../files/if_present.ts";
import { isInUse, removeIfUnused } from "../files/remove_if_unused.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { digestOfPartial, INGEST } from "./layout.ts";
import { sizeOfFile } from "./store_scan.ts";

/** The received beginning of a blob, from which a download resumes. */
interface PartialBlob {
  readonly digest: Digest;
  /** The path of the file in the data folder. */
  readonly path: string;
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
    const path = `${INGEST}/${name}`;
    const stat = isFile && isDigest(digest) ? await ifPresent(Deno.lstat(`${root}/${path}`)) : undefined;
    if (stat === undefined || !isDigest(digest)) continue;
    const [{ size, mtime }, inUse] = [stat, await isInUse(`${root}/${path}`)];
    found.push({ digest, path, size, written: mtime ?? new Date(0), isInUse: inUse });
  }
  return found.sort((a, b) => a.written.getTime() - b.written.getTime());
}

/** Removes the partial files that no download is writing. @returns those that were removed */
export async function removePartialBlobs(root: string, { dryRun = false } = {}): Promise<PartialBlob[]> {
  const unused = (await listPartialBlobs(root)).filter(({ isInUse }) => !isInUse);
  if (dryRun) return unused;
  const removed: PartialBlob[] = [];
  for (const partial of unused) {
    if (await removeIfUnused(`${root}/${partial.path}`)) removed.push(partial);
  }
  return removed;
}

/** Removes the partial files of a blob that no download is writing. */
export async function removePartialsOf(root: string, digest: Digest): Promise<void> {
  for (const name of namesOf(root, digest)) await removeIfUnused(`${root}/${INGEST}/${name}`);
}

/** Returns the size of all partial files of a blob, in bytes; `undefined` when it has none. */
export function sizeOfPartials(root: string, digest: Digest): number | undefined {
  const sizes = namesOf(root, digest).flatMap((name) => sizeOfFile(`${root}/${INGEST}/${name}`) ?? []);
  return sizes.length === 0 ? undefined : sizes.reduce((sum, size) => sum + size, 0);
}

// Each repository that the blob was received for has a file. Other files of the folder are few.
function namesOf(root: string, digest: Digest): string[] {
  const names = ifPresentSync(() => Array.from(Deno.readDirSync(`${root}/${INGEST}`), ({ name }) => name)) ?? [];
  return names.filter((name) => digestOfPartial(name) === digest);
}
