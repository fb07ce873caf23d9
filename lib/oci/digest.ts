import { createHash } from "node:crypto";
import { cannot, RegistryError } from "./error.ts";

/**
 * The hash functions of digests: those that the image specification registers ("Registered Algorithms"), and sha384, which
 * it allows, and which distribution and containerd use too.
 */
export const ALGORITHMS = ["sha256", "sha384", "sha512"] as const;

/** One of `ALGORITHMS`. */
export type Algorithm = typeof ALGORITHMS[number];

/** `<algorithm>:<lower-case hex>`; created only by `parseDigest` and `computeDigest`. */
export type Digest = `${Algorithm}:${string}`;

const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;

/** How a digest is written, for errors. */
export const DIGEST_FORM = "sha256:<64 hex>, sha384:<96 hex> or sha512:<128 hex>";

/** Reports whether `text` is a digest of a known algorithm with the right number of hex digits. */
export function isDigest(text: unknown): text is Digest {
  return typeof text === "string" && DIGEST.test(text);
}

/**
 * Parses a digest.
 *
 * @throws {RegistryError} `DIGEST_INVALID` when `text` is not a digest of a known algorithm
 */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  const shown = text.length > 160 ? `${text.slice(0, 160)}…` : text;
  throw new RegistryError(
    "DIGEST_INVALID",
    cannot(`use digest ${JSON.stringify(shown)}`, `it must be ${DIGEST_FORM}`),
  );
}

/** Splits a digest into its algorithm and its hex digits. */
export function splitDigest(digest: Digest): { algorithm: Algorithm; hex: string } {
  const colon = digest.indexOf(":");
  return { algorithm: digest.slice(0, colon) as Algorithm, hex: digest.slice(colon + 1) };
}

/** Computes the digest of bytes in memory; text is hashed as UTF-8. */
export function computeDigest(bytes: Uint8Array | string, algorithm: Algorithm = "sha256"): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest("hex")}`;
}
