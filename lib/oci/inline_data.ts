import { ALGORITHMS, computeDigest, splitDigest } from "./digest.ts";
import type { Descriptor } from "./manifest.ts";

// Content that is known by its digest: no bytes, and the empty JSON document.
const KNOWN = new Map<string, string>(
  ["", "{}"].flatMap((text) => ALGORITHMS.map((algorithm) => [computeDigest(text, algorithm), text] as const)),
);

/**
 * Returns the content that a descriptor carries itself: its `data`, or what its digest tells: `{}` for that of the empty
 * JSON document (image specification, "Embedded Content", "Guidance for an Empty Descriptor"), and no bytes. `undefined`
 * when it carries none, or its data does not have its size and digest.
 */
export function inlineDataOf({ digest, size, data }: Descriptor): Uint8Array<ArrayBuffer> | undefined {
  const known = KNOWN.get(digest);
  if (known?.length === size) return new TextEncoder().encode(known);
  if (data === undefined || data.length !== Math.ceil(size / 3) * 4) return undefined;
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = Uint8Array.fromBase64(data);
  } catch {
    return undefined;
  }
  return bytes.length === size && computeDigest(bytes, splitDigest(digest).algorithm) === digest ? bytes : undefined;
}
