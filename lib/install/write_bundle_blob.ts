import type { BundleBlob } from "../bundle/read_bundle.ts";
import { streamBytes } from "../bytes/byte_reader.ts";
import type { ContentCatalog, ContentStore } from "../content/source.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError, NoSpaceError, TruncatedError } from "../oci/error.ts";
import type { IngestStore, PieceStore } from "../store/blob_store.ts";

/** A store that bundles are imported into. Where it can, it goes on with a blob that was cut. */
export type ImportStore = ContentStore & Partial<Omit<PieceStore, keyof ContentCatalog>>;

/** Whose a blob will be. */
export interface WriteBundleBlobOptions {
  /** The repository that is granted the blob. */
  readonly repository: string;
  /** Told of bytes that were dealt with, those of an earlier try too. */
  readonly onBytes: (count: number) => void;
}

/**
 * What an earlier try had left of a blob was wrong, as after a power loss. It is gone now, and nothing is said about the
 * bundle: the same again begins the blob anew.
 */
export class StalePartialError extends Error {
  override readonly name = "StalePartialError";
}

const ANY_TYPE = "application/octet-stream";
const PIECE_BYTES = 1024 * 1024;

/**
 * Brings a blob of a bundle into a store. What an earlier try has left of it is hashed from the disk, and skipped in the
 * bundle; when it turns out to be wrong it goes, so that the next try succeeds. What a try that is cut off has got stays.
 *
 * @throws {DigestMismatchError}
 * @throws {StalePartialError}
 * @throws {NoSpaceError} what was written is given back
 */
export async function writeBundleBlob(
  store: ImportStore,
  blob: BundleBlob,
  { repository, onBytes }: WriteBundleBlobOptions,
): Promise<void> {
  const { digest, size } = blob;
  if (store.openIngest === undefined) {
    const read = async (max: number) => {
      const piece = await blob.read(max);
      if (piece !== undefined) onBytes(piece.length);
      return piece;
    };
    const descriptor = { mediaType: ANY_TYPE, digest, size };
    return await store.writeBlob(repository, descriptor, streamBytes({ read }, PIECE_BYTES));
  }
  const open = () => store.openIngest!(digest);
  await ingestBlob(blob, open, onBytes);
  await store.linkBlob?.(repository, digest);
}

/** Files bytes that are in memory; no repository is granted them. */
export async function writeBundleBytes(store: ImportStore, digest: Digest, bytes: Uint8Array): Promise<void> {
  let ingest = await store.openIngest?.(digest);
  // What is left of an earlier try is not worth it.
  if (ingest !== undefined && ingest.written > 0) {
    await ingest.abort();
    ingest = await store.openIngest?.(digest);
  }
  if (ingest === undefined) throw new Error(`Cannot write ${digest}: this store takes no parts`);
  try {
    await ingest.write(bytes);
  } catch (error) {
    await ingest.abort();
    throw error;
  }
  await ingest.commit();
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
    // Nothing of the bundle's was read yet.
    return await ingestBlob(blob, open, onBytes);
  }
  try {
    await blob.skip(begun);
    onBytes(begun);
    // The next piece is on its way while this one is hashed and written.
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
    // What a damaged file gave before it was found out may be wrong.
    const isDamaged = error instanceof CorruptError && !(error instanceof TruncatedError);
    if (isDamaged || error instanceof NoSpaceError) await ingest.abort();
    else ingest.keep();
    throw error;
  }
  await ingest.commit().catch((error) => {
    if (!(error instanceof DigestMismatchError) || begun === 0) throw error;
    const rest = `its first ${begun} bytes were left by an import that was cut off, and are gone now: import it again`;
    throw new StalePartialError(`${error.message}; ${rest}`, { cause: error });
  });
}
