import type { SignatureKey } from "./ed25519_key.ts";

/** The bytes of an Ed25519 signature (RFC 8032 section 5.1.6). */
const SIGNATURE_BYTES = 64;

/** Signs bytes. @returns the signature in Base64, as `cosign verify-blob --signature` reads it */
export async function signDetached(bytes: Uint8Array<ArrayBuffer>, { key }: SignatureKey): Promise<string> {
  return new Uint8Array(await crypto.subtle.sign("Ed25519", key, bytes)).toBase64();
}

/** Verifies a signature in Base64. A text that is no signature gives `false`. */
export async function verifyDetached(
  bytes: Uint8Array<ArrayBuffer>,
  signature: string,
  { key }: SignatureKey,
): Promise<boolean> {
  let decoded: Uint8Array<ArrayBuffer>;
  try {
    decoded = Uint8Array.fromBase64(signature.trim(), { lastChunkHandling: "strict" });
  } catch {
    return false;
  }
  return decoded.length === SIGNATURE_BYTES && await crypto.subtle.verify("Ed25519", key, decoded, bytes);
}
