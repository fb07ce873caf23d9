import type { OpenedBlob } from "../../lib/content/source.ts";
import { computeDigest, type Digest } from "../../lib/oci/digest.ts";
import { type Descriptor, MEDIA_TYPE } from "../../lib/oci/manifest.ts";

/** A blob or manifest, and its descriptor. */
export interface Content {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly descriptor: Descriptor;
}

/** Makes pseudo-random bytes (xorshift); the same seed gives the same bytes. */
export function makeBytes(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < size; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = state;
  }
  return bytes;
}

/** Makes a blob of `size` pseudo-random bytes. */
export function makeBlob(size: number, seed = 1, algorithm: "sha256" | "sha384" | "sha512" = "sha256"): Content {
  const bytes = makeBytes(size, seed);
  const digest = computeDigest(bytes, algorithm);
  return { bytes, descriptor: { mediaType: "application/octet-stream", digest, size } };
}

/** Makes a manifest of a config and layers, which need not be those of a real image. */
export function makeManifest(config: Content, layers: readonly Content[], subject?: Content): Content {
  return makeJson(MEDIA_TYPE.ociManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    ...(subject === undefined ? {} : { subject: subject.descriptor }),
  });
}

/** Makes an index of manifests. */
export function makeIndex(manifests: readonly Content[]): Content {
  return makeJson(MEDIA_TYPE.ociIndex, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: manifests.map(({ descriptor }) => descriptor),
  });
}

/** Opens a stream of the bytes in chunks. */
export function streamOf(bytes: Uint8Array<ArrayBuffer>, chunkSize = 64 * 1024): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at += chunkSize));
    },
  }, { highWaterMark: 0 });
}

/** Reads an opened blob to its end. @throws {Error} when it is undefined */
export async function readAll(opened: OpenedBlob | undefined): Promise<Uint8Array> {
  if (opened === undefined) throw new Error("there is no such blob");
  return new Uint8Array(await new Response(opened.body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** A digest that no content has. */
export const UNKNOWN_DIGEST: Digest = computeDigest("missing content");

function makeJson(mediaType: string, value: unknown): Content {
  const bytes = new TextEncoder().encode(JSON.stringify(value));
  return { bytes, descriptor: { mediaType, digest: computeDigest(bytes), size: bytes.length } };
}
