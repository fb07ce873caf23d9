import { decompress } from "../archive/decompress.ts";
import { BLOCK_BYTES, isTarHead } from "../archive/tar_header.ts";
import type { BundleSource, ByteReader } from "../bytes/byte_reader.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { notATar } from "./other_archive.ts";

/** The tar of a bundle, open for reading. */
interface BundleTar {
  readonly reader: ByteReader;
  /** Whether the file has the extra field of a bundle that crpe packed. */
  readonly isSealed: boolean;
}

/**
 * Opens the tar in a file, which may be compressed.
 *
 * @param what names the file in errors
 * @throws {CorruptError} when it is an archive that crpe does not read
 * @throws {CorruptError} when there is no tar in it. The source is then cancelled
 */
export async function openBundleTar(source: BundleSource, what: string): Promise<BundleTar> {
  const { compression, reader, hasDocumentSize } = await decompress(source, what);
  try {
    const head = await reader.peek(BLOCK_BYTES);
    if (isTarHead(head)) return { reader, isSealed: hasDocumentSize() };
    throw compression === "none"
      ? notATar(head, what, "bundle")
      : new CorruptError(cannot(`read ${what}`, `it is not a bundle (the ${compression} data is not a tar)`));
  } catch (error) {
    await reader.cancel(error);
    throw error;
  }
}
