import { ByteReader, openByteSource } from "../bytes/byte_reader.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import type { ContentSource } from "./source.ts";
import { verifyBytes } from "./verifier.ts";

/** Which blob is read, and how large it may be. */
export interface SmallBlob {
  readonly digest: Digest;
  /** In bytes, where it is known. */
  readonly size?: number;
  /** In bytes. */
  readonly limit: number;
}

/**
 * Reads a whole blob into memory and verifies it.
 *
 * @throws {CorruptError} when it has more bytes than the limit
 * @throws {DigestMismatchError}
 */
export async function readSmallBlob(
  source: ContentSource,
  repository: string,
  { digest, size, limit }: SmallBlob,
): Promise<Uint8Array | undefined> {
  const opened = await source.openBlob(repository, digest);
  if (opened === undefined) return undefined;
  const reader = new ByteReader(openByteSource(opened.body), digest);
  try {
    if (opened.length > limit) {
      throw new CorruptError(`Cannot read ${digest}: it has ${opened.length} bytes, ${limit} are allowed`);
    }
    const bytes = await reader.readExactly(opened.length);
    verifyBytes(bytes, digest, size);
    return bytes;
  } finally {
    await reader.cancel();
  }
}
