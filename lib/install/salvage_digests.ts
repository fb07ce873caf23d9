import { listFolder } from "../files/if_present.ts";
import { describeReadRefusal } from "../files/read_refusal.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { SET_ASIDE } from "./records/record_file.ts";

const DIGEST = /\bsha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})\b/g;
const CHUNK_BYTES = 1024 * 1024;
const LONGEST_DIGEST = "sha512:".length + 128;

/**
 * Finds all digests in the files of a package's folder, whether they can be parsed or not. A damaged record usually still
 * has the digests of its images, and keeping too much is harmless.
 *
 * @param folder path of the package's folder
 */
export async function salvageDigests(folder: string): Promise<Set<Digest>> {
  const found = new Set<Digest>();
  for (const { name, isFile, isDirectory } of await listFolder(folder) ?? []) {
    const path = `${folder}/${name}`;
    if (isDirectory) { for (const digest of await salvageDigests(path)) found.add(digest); }
    // What was set aside has been replaced by another record.
    else if (isFile && !name.endsWith(SET_ASIDE)) await salvageFile(path, found).catch(ignoreDamage);
  }
  return found;
}

// A file that the system refuses to open may be intact: nothing is known of it.
function ignoreDamage(error: unknown): void {
  if (describeReadRefusal(error) !== undefined) throw error;
}

async function salvageFile(path: string, found: Set<Digest>): Promise<void> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(CHUNK_BYTES);
  let before = "";
  for (let got = await file.read(buffer); got !== null; got = await file.read(buffer)) {
    const text = before + new TextDecoder("latin1").decode(buffer.subarray(0, got));
    for (const [digest] of text.matchAll(DIGEST)) if (isDigest(digest)) found.add(digest);
    // A digest may begin in one chunk and end in the next. The character before it counts, too.
    before = text.slice(-LONGEST_DIGEST);
  }
}
