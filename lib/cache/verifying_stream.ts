import { drain } from "../bytes/file_stream.ts";
import { joinChunks } from "../bytes/join_chunks.ts";
import { Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import type { ByteSpan } from "../store/blob_pieces.ts";
import { HELD_BACK_BYTES } from "./shared_download.ts";
import { cannot, CrpeError } from "../oci/error.ts";

/** The blob that `verifyStream` expects. */
interface ExpectedBlob {
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  /** Called with the error that ended the stream, unless the reader has cancelled it. */
  readonly onFailure?: (error: unknown) => void;
  /** Called with the number of bytes of each received chunk. */
  readonly onBytes?: (count: number) => void;
}

/**
 * Streams a blob, or a byte range of it, and verifies the whole blob at the same time. The last bytes are delivered
 * only after size and digest are verified; the stream of a corrupt blob ends with an error.
 *
 * @param body the bytes of the whole blob
 * @param span the byte range to deliver
 */
export function verifyStream(
  body: ReadableStream<Uint8Array>,
  { digest, size, onFailure, onBytes }: ExpectedBlob,
  span: ByteSpan,
): ReadableStream<Uint8Array> {
  const verifier = new Verifier(digest, size);
  const end = span.start + span.length;
  const relay = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 0 });
  const writer = relay.writable.getWriter();
  let held = new Uint8Array(0);
  let isCancelled = false;
  writer.closed.catch(() => isCancelled = true);
  const deliver = async (bytes: Uint8Array, at: number) => {
    const piece = bytes.subarray(Math.max(0, span.start - at), Math.max(0, end - at));
    if (piece.length === 0) return;
    await writer.write(piece).catch((error) => {
      isCancelled = true;
      throw error;
    });
  };
  const run = async () => {
    await drain(body, async (chunk) => {
      if (isCancelled) throw new CrpeError(cannot("send the blob", "the client has disconnected"));
      onBytes?.(chunk.length);
      const at = verifier.seen - held.length;
      verifier.update(chunk);
      const bytes = joinChunks([held, chunk]);
      const count = Math.max(0, Math.min(bytes.length, size - HELD_BACK_BYTES - at));
      held = bytes.slice(count);
      await deliver(bytes.subarray(0, count), at);
    });
    verifier.finish();
    await deliver(held, size - held.length);
    await writer.close();
  };
  run().catch((error) => {
    if (!isCancelled) onFailure?.(error);
    writer.abort(error).catch(() => {});
  });
  return relay.readable;
}
