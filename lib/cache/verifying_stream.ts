import { drain } from "../bytes/file_stream.ts";
import { Verifier } from "../content/verifier.ts";
import type { Digest } from "../oci/digest.ts";
import { HELD_BACK_BYTES } from "./shared_download.ts";

/** Which bytes of a blob are given on. */
export interface Part {
  readonly start: number;
  readonly length: number;
}

/** What a blob has to be. */
export interface ExpectedBlob {
  readonly digest: Digest;
  readonly size: number;
  /** Told of what went wrong, unless it is that the reader has left. */
  readonly onFailure?: (error: unknown) => void;
  /** Told of bytes that have come. */
  readonly onBytes?: (count: number) => void;
}

/**
 * Gives a blob on without keeping it, or a part of it, and verifies all of it meanwhile: the last bytes come when size and
 * digest were found right, and a wrong blob ends in an error.
 *
 * @param body the whole blob
 */
export function verifyStream(
  body: ReadableStream<Uint8Array>,
  { digest, size, onFailure, onBytes }: ExpectedBlob,
  part: Part,
): ReadableStream<Uint8Array> {
  const verifier = new Verifier(digest, size);
  const end = part.start + part.length;
  const relay = new TransformStream<Uint8Array, Uint8Array>(undefined, undefined, { highWaterMark: 0 });
  const writer = relay.writable.getWriter();
  let held = new Uint8Array(0);
  let isLeft = false;
  writer.closed.catch(() => isLeft = true);
  const give = async (bytes: Uint8Array, at: number) => {
    const piece = bytes.subarray(Math.max(0, part.start - at), Math.max(0, end - at));
    if (piece.length === 0) return;
    await writer.write(piece).catch((error) => {
      isLeft = true;
      throw error;
    });
  };
  const run = async () => {
    await drain(body, async (chunk) => {
      if (isLeft) throw new Error("Cannot give on: the reader has left");
      onBytes?.(chunk.length);
      const at = verifier.seen - held.length;
      verifier.update(chunk);
      const bytes = new Uint8Array(held.length + chunk.length);
      bytes.set(held);
      bytes.set(chunk, held.length);
      const count = Math.max(0, Math.min(bytes.length, size - HELD_BACK_BYTES - at));
      held = bytes.slice(count);
      await give(bytes.subarray(0, count), at);
    });
    verifier.finish();
    await give(held, size - held.length);
    await writer.close();
  };
  run().catch((error) => {
    if (!isLeft) onFailure?.(error);
    writer.abort(error).catch(() => {});
  });
  return relay.readable;
}
