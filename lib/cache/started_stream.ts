import { prependChunks } from "../bytes/prepend_chunks.ts";

/**
 * Waits for the first bytes of a stream, so that a stream that fails early is an error and not the start of a response.
 *
 * @param bytes the number of bytes to wait for; a shorter stream is read to its end
 */
export async function waitForStart(
  stream: ReadableStream<Uint8Array>,
  bytes: number,
): Promise<ReadableStream<Uint8Array>> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  for (let seen = 0; seen < bytes;) {
    const { value } = await reader.read();
    if (value === undefined) break;
    chunks.push(value);
    seen += value.length;
  }
  return prependChunks(chunks, reader);
}
