import type { ByteRange } from "../bytes/byte_range.ts";
import { prependChunks } from "../bytes/prepend_chunks.ts";
import type { FileReader } from "../bytes/shared_files.ts";
import type { OpenedBlob } from "../content/source.ts";

/** A reader of a download that has failed, or has become superfluous. */
interface InterruptedReader {
  /** The file of the download, with the bytes that the reader was given. */
  readonly file: FileReader;
  /** Position where the reader started. */
  readonly start: number;
  /** Position of the next byte that the reader needs. */
  readonly at: number;
  /** Position after the last byte that the reader needs. */
  readonly end: number;
}

/**
 * Continues a reader with the stored blob. What the reader was given so far is compared with the stored blob, because
 * it was not verified: the reader must not end up with a mixture of both.
 *
 * @param openHeld opens a range of the stored blob
 * @returns `undefined` when the blob is not stored, or begins with other bytes
 */
export async function continueFromStore(
  { file, start, at, end }: InterruptedReader,
  openHeld: (range: ByteRange) => Promise<OpenedBlob | undefined>,
): Promise<ReadableStreamDefaultReader<Uint8Array> | undefined> {
  const held = await openHeld({ start, end: end - 1 });
  if (held === undefined) return undefined;
  const reader = held.body.getReader();
  try {
    if (held.length === end - start) {
      const rest = await skipSame(reader, { file, start, at });
      if (rest?.length === 0) return reader;
      if (rest !== undefined) return prependChunks([rest], reader).getReader();
    }
  } catch (error) {
    await reader.cancel(error).catch(() => {});
    throw error;
  }
  await reader.cancel();
  return undefined;
}

/** Reads up to `at`. Returns the bytes that were read beyond it; `undefined` when the file has other bytes. */
async function skipSame(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  { file, start, at }: Omit<InterruptedReader, "end">,
): Promise<Uint8Array | undefined> {
  let rest = new Uint8Array(0);
  for (let position = start; position < at;) {
    const { value } = await reader.read();
    if (value === undefined) return undefined;
    const count = Math.min(value.length, at - position);
    if (!await hasBytes(file, position, value.subarray(0, count))) return undefined;
    position += count;
    rest = value.slice(count);
  }
  return rest;
}

async function hasBytes(file: FileReader, position: number, expected: Uint8Array): Promise<boolean> {
  for (let at = 0; at < expected.length;) {
    const bytes = await file.read(position + at, expected.length - at);
    if (!bytes.every((byte, i) => byte === expected[at + i])) return false;
    at += bytes.length;
  }
  return true;
}
