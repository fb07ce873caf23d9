import { decompress } from "../archive/decompress.ts";
import { BLOCK_BYTES, isTarHead } from "../archive/tar_header.ts";
import type { BundleSource, ByteReader } from "../bytes/byte_reader.ts";
import { CorruptError } from "../oci/error.ts";

/** The tar of a bundle, open for reading. */
export interface BundleTar {
  readonly reader: ByteReader;
  /** Whether the file has the extra field of a bundle that crpe packed. */
  readonly isSealed: boolean;
}

/**
 * Opens the tar in a file, which may be compressed.
 *
 * @param what names the file in errors
 * @throws {CorruptError} when there is no tar in it. The source is then cancelled
 */
export async function openBundleTar(source: BundleSource, what: string): Promise<BundleTar> {
  const { compression, reader, hasDocumentSize } = await decompress(source, what);
  try {
    const head = await reader.peek(BLOCK_BYTES);
    if (isTarHead(head)) return { reader, isSealed: hasDocumentSize() };
    const reason = compression !== "none"
      ? `it is not a bundle (the ${compression} data is not a tar)`
      : head.length === 0
      ? "it is empty"
      : "it is not a bundle (neither gzip, zstd nor tar)";
    throw new CorruptError(`Cannot read ${what}: ${reason}`);
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}
