import { sign, verify } from "node:crypto";
import type { PrivateKey, PublicKey } from "./keys.ts";

/** The most bytes of a signature: those of P-256 are DER (RFC 3279 section 2.2.3), at most 72. */
const MAX_SIGNATURE_BYTES = 72;

/**
 * Signs bytes: with Ed25519 the bytes themselves, with ECDSA their SHA-256.
 *
 * @returns the signature in Base64, as `cosign verify-blob --signature` reads it
 */
export function signDetached(bytes: Uint8Array, { key, algorithm }: PrivateKey): string {
  return Uint8Array.from(sign(algorithm === "ed25519" ? null : "sha256", bytes, key)).toBase64();
}

/** Verifies a signature in Base64. A text that is no signature gives `false`. */
export function verifyDetached(bytes: Uint8Array, signature: string, { key, algorithm }: PublicKey): boolean {
  let decoded: Uint8Array;
  try {
    decoded = Uint8Array.fromBase64(signature.trim(), { lastChunkHandling: "strict" });
  } catch {
    return false;
  }
  if (decoded.length === 0 || decoded.length > MAX_SIGNATURE_BYTES) return false;
  try {
    return verify(algorithm === "ed25519" ? null : "sha256", bytes, key, decoded);
  } catch {
    return false;
  }
}
