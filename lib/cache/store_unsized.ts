import { drain } from "../bytes/file_stream.ts";
import type { Ingest } from "../store/ingest.ts";

/** A blob whose size neither a manifest nor the upstream states. */
interface UnsizedBlob {
  readonly body: ReadableStream<Uint8Array>;
  /** Called with the number of bytes of each received chunk. */
  readonly onBytes: (count: number) => void;
  /** Reserves space; `undefined` when there is not enough. */
  readonly reserve: (bytes: number) => Promise<Disposable | undefined>;
  /** Creates the error of a blob for which there is not enough space. */
  readonly noSpace: () => Error;
}

// Space is reserved in steps of this size, in bytes.
const STEP_BYTES = 64 * 1024 * 1024;
const MAX_STEPS = 64;

/**
 * Stores a blob of unknown size, of up to 4 GiB. A response has to state the size, so that it cannot start before.
 *
 * @throws {DigestMismatchError} when the content does not have the digest
 */
export async function storeUnsized(
  ingest: Ingest,
  { body, onBytes, reserve, noSpace }: UnsizedBlob,
): Promise<void> {
  const reservations: Disposable[] = [];
  try {
    await drain(body, async (chunk) => {
      onBytes(chunk.length);
      if (ingest.written + chunk.length > reservations.length * STEP_BYTES) {
        const reservation = reservations.length < MAX_STEPS ? await reserve(STEP_BYTES) : undefined;
        if (reservation === undefined) throw noSpace();
        reservations.push(reservation);
      }
      await ingest.write(chunk);
    });
    await ingest.commit();
  } catch (error) {
    await ingest.abort();
    throw error;
  } finally {
    for (const reservation of reservations) reservation[Symbol.dispose]();
  }
}
