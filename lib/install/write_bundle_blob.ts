import type { BundleBlob } from "../bundle/read_bundle.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, type Failure, NoSpaceError, RegistryError, TruncatedError } from "../oci/error.ts";
import type { Ingest } from "../store/ingest.ts";
import type { ImportStore, IngestStore } from "../store/blob_store.ts";

/** Options of `writeBundleBlob`. */
interface WriteBundleBlobOptions {
  /** The repository that the blob is linked into; none for a delta. */
  readonly repository?: string;
  /** Called with the number of bytes that were processed, including those of an earlier import. */
  readonly onBytes: (count: number) => void;
}

/**
 * The partial file that an interrupted import left of a blob was wrong, for example after a power loss. It is deleted
 * now, so a retry starts the blob from its first byte. The error says nothing about the bundle.
 */
export class StalePartialError extends RegistryError {
  constructor(failure: Failure | string, options?: ErrorOptions) {
    super("UNAVAILABLE", failure, options);
  }
}

const PIECE_BYTES = 1024 * 1024;

/**
 * Writes a blob of a bundle into a store. The bytes that an interrupted import left are hashed from the disk and
 * skipped in the bundle. If they turn out to be wrong, the partial file is deleted, so that a retry succeeds. If this
 * import is interrupted, its partial file stays.
 *
 * @throws {DigestMismatchError} when the bundle's bytes have another digest
 * @throws {StalePartialError} when the bytes of an interrupted import were wrong
 * @throws {NoSpaceError} when the disk is full; the partial file is deleted
 */
export async function writeBundleBlob(
  store: ImportStore,
  blob: BundleBlob,
  { repository, onBytes }: WriteBundleBlobOptions,
): Promise<void> {
  const { digest } = blob;
  await ingestBlob(blob, () => store.openIngest(digest), onBytes);
  if (repository !== undefined) await store.linkBlob(repository, digest);
}

/** Writes bytes from memory as a blob, without linking it into a repository. */
export async function writeBundleBytes(store: ImportStore, digest: Digest, bytes: Uint8Array): Promise<void> {
  // All bytes are in memory, so resuming the partial file of an interrupted import would save nothing.
  const ingest = await openEmptyIngest(store, digest);
  try {
    await ingest.write(bytes);
  } catch (error) {
    await ingest.abort();
    throw error;
  }
  await ingest.commit();
}

/** Opens the ingest of a blob at its first byte: what an earlier one has left is removed. */
export async function openEmptyIngest(store: ImportStore, digest: Digest): Promise<Ingest> {
  const ingest = await store.openIngest(digest);
  if (ingest.written === 0) return ingest;
  await ingest.abort();
  return await store.openIngest(digest);
}

async function ingestBlob(
  blob: BundleBlob,
  open: () => ReturnType<IngestStore["openIngest"]>,
  onBytes: (count: number) => void,
): Promise<void> {
  const { size } = blob;
  let ingest = await open();
  if (ingest.written > size) {
    await ingest.abort();
    ingest = await open();
  }
  ingest.expectSize(size);
  const begun = ingest.written;
  if (begun > 0 && begun === size) {
    const isWhole = await ingest.commit().then(() => true, (error) => {
      if (error instanceof DigestMismatchError) return false;
      throw error;
    });
    if (isWhole) return onBytes(size);
    // Nothing was read from the bundle yet, so the blob can start over.
    return await ingestBlob(blob, open, onBytes);
  }
  try {
    await blob.skip(begun);
    onBytes(begun);
    blob.giveUpChunks?.(true);
    // The next piece is read while this one is hashed and written.
    const readAhead = () => {
      const next = blob.read(PIECE_BYTES);
      next.catch(() => {});
      return next;
    };
    for (let next = readAhead(), piece = await next; piece !== undefined; piece = await next) {
      next = readAhead();
      await ingest.write(piece);
      onBytes(piece.length);
    }
  } catch (error) {
    // Bytes that were read from a damaged file before the damage was detected may be wrong as well.
    const isDamaged = error instanceof CorruptError && !(error instanceof TruncatedError);
    if (isDamaged || error instanceof NoSpaceError) await ingest.abort();
    else ingest.keep();
    throw error;
  } finally {
    blob.giveUpChunks?.(false);
  }
  await ingest.commit().catch((error) => {
    if (!(error instanceof DigestMismatchError) || begun === 0) throw error;
    const reason = `${error.reason}; its first ${begun} bytes were left by an interrupted import and are deleted now`;
    throw new StalePartialError({ action: error.action, reason, advice: "import it again" }, { cause: error });
  });
}
