import type { TarEntry } from "../archive/tar_reader.ts";
import { Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";

const PIECE_BYTES = 1024 * 1024;

/**
 * Reads an entry of a tar to its end, and verifies its bytes against a digest.
 *
 * @param onBytes called with the number of bytes that were hashed so far
 * @throws {DigestMismatchError} when they have another digest
 */
export async function hashEntry(entry: TarEntry, digest: Digest, onBytes?: (bytes: number) => void): Promise<void> {
  const verifier = new Verifier(digest, entry.size);
  let done = 0;
  entry.giveUpChunks?.(true);
  try {
    for (let piece = await entry.read(PIECE_BYTES); piece !== undefined; piece = await entry.read(PIECE_BYTES)) {
      verifier.update(piece);
      onBytes?.(done += piece.length);
    }
  } finally {
    entry.giveUpChunks?.(false);
  }
  verifier.finish();
}
