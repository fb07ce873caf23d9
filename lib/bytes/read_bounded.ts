import { cannot, CorruptError } from "../oci/error.ts";
import { joinChunks } from "./join_chunks.ts";

/**
 * Reads a whole stream into memory.
 *
 * @param what name of the stream in the error
 * @throws {CorruptError} when the stream has more than `limit` bytes; the rest is not read
 */
export async function readBounded(
  stream: ReadableStream<Uint8Array>,
  what: string,
  limit: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > limit) throw new CorruptError(cannot(`read ${what}`, `it has more than ${limit} bytes`));
    chunks.push(chunk.slice());
  }
  return joinChunks(chunks);
}
