import { createCipheriv, createHash } from "node:crypto";
import type { Digest } from "../../lib/oci/digest.ts";
import { formatTarHeader, TAR_END, tarPadding } from "./tar.ts";

const CHUNK = 1024 * 1024;

/** A blob that is generated while it is read, so that it is never in memory as a whole. */
export interface LargeBlob {
  readonly digest: Digest;
  /** Size in bytes. */
  readonly size: number;
  /** Opens the blob; the bytes are the same each time. */
  open(): ReadableStream<Uint8Array<ArrayBuffer>>;
}

/**
 * Makes a layer (a tar of one file) whose content cannot be compressed.
 *
 * @param contentSize the size of the file in bytes; the layer is some 1.5 KiB larger
 * @param seed another seed gives other bytes
 */
export function makeLargeLayer(contentSize: number, seed = 1): LargeBlob {
  const hash = createHash("sha256");
  let size = 0;
  for (const chunk of generate(contentSize, seed)) {
    hash.update(chunk);
    size += chunk.length;
  }
  return {
    digest: `sha256:${hash.digest("hex")}`,
    size,
    open() {
      const chunks = generate(contentSize, seed);
      return new ReadableStream({
        pull(controller) {
          const { value } = chunks.next();
          if (value === undefined) controller.close();
          else controller.enqueue(value);
        },
      }, { highWaterMark: 0 });
    },
  };
}

function* generate(contentSize: number, seed: number): Generator<Uint8Array<ArrayBuffer>, undefined> {
  yield formatTarHeader({ path: "large.bin", size: contentSize });
  // The key stream of a cipher in counter mode cannot be compressed, and is generated faster than it is hashed.
  const key = new Uint8Array(16);
  new DataView(key.buffer).setUint32(0, seed);
  const cipher = createCipheriv("aes-128-ctr", key, new Uint8Array(16));
  const zeros = new Uint8Array(CHUNK);
  for (let left = contentSize; left > 0; left -= CHUNK) {
    yield new Uint8Array(cipher.update(zeros.subarray(0, Math.min(left, CHUNK))));
  }
  const padding = tarPadding(contentSize);
  if (padding > 0) yield new Uint8Array(padding);
  yield TAR_END.slice();
}
