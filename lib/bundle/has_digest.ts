import type { TarEntry } from "../archive/tar_reader.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";

const PIECE_BYTES = 1024 * 1024;

/** Reads an entry of a tar to its end, and tests whether its bytes have a digest. */
export async function hasDigest(entry: TarEntry, digest: Digest): Promise<boolean> {
  const verifier = new Verifier(digest, entry.size);
  try {
    for (let piece = await entry.read(PIECE_BYTES); piece !== undefined; piece = await entry.read(PIECE_BYTES)) {
      verifier.update(piece);
    }
    verifier.finish();
    return true;
  } catch (error) {
    if (error instanceof DigestMismatchError) return false;
    throw error;
  }
}
