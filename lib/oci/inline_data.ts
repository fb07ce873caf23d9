import { computeDigest, splitDigest } from "./digest.ts";
import type { Descriptor } from "./manifest.ts";

const EMPTY_JSON = "{}";
const EMPTY_JSON_DIGESTS = new Set<string>([computeDigest(EMPTY_JSON, "sha256"), computeDigest(EMPTY_JSON, "sha512")]);

/**
 * Returns the content that a descriptor carries itself: its `data`, or `{}` for the digest of the empty JSON document
 * (image specification, "Embedded Content", "Guidance for an Empty Descriptor"). `undefined` when it carries none, or
 * its data does not have its size and digest.
 */
export function inlineDataOf({ digest, size, data }: Descriptor): Uint8Array<ArrayBuffer> | undefined {
  if (size === EMPTY_JSON.length && EMPTY_JSON_DIGESTS.has(digest)) return new TextEncoder().encode(EMPTY_JSON);
  if (data === undefined || data.length !== Math.ceil(size / 3) * 4) return undefined;
  let text: string;
  try {
    text = atob(data);
  } catch {
    return undefined;
  }
  const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
  return bytes.length === size && computeDigest(bytes, splitDigest(digest).algorithm) === digest ? bytes : undefined;
}
