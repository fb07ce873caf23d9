import { ByteReader, openByteSource } from "../bytes/byte_reader.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import type { ContentSource } from "./source.ts";
import { verifyBytes } from "./verifier.ts";

/** A blob to read into memory, and the largest size accepted. */
interface SmallBlob {
  readonly digest: Digest;
  /** Expected size in bytes, if it is known. */
  readonly size?: number;
  /** Largest size accepted, in bytes. */
  readonly limit: number;
}

/**
 * Reads a whole blob into memory and verifies it.
 *
 * @returns the verified bytes, or `undefined` if the source does not have the blob
 * @throws {CorruptError} when the blob has more bytes than the limit
 * @throws {DigestMismatchError} when the content does not have the digest, or not the expected size
 */
export async function readSmallBlob(
  source: Pick<ContentSource, "openBlob">,
  repository: string,
  { digest, size, limit }: SmallBlob,
): Promise<Uint8Array | undefined> {
  const opened = await source.openBlob(repository, digest);
  if (opened === undefined) return undefined;
  const reader = new ByteReader(openByteSource(opened.body), digest);
  try {
    if (opened.length > limit) {
      throw new CorruptError(cannot(`read ${digest}`, `it has ${opened.length} bytes, ${limit} are allowed`));
    }
    const bytes = await reader.readExactly(opened.length);
    verifyBytes(bytes, digest, size);
    return bytes;
  } finally {
    await reader.cancel();
  }
}
