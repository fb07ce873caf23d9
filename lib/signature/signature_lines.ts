/**
 * `kubepkg.json.sig`: the signatures of a bundle, one on each line. A line is `KEYID SIGNATURE [PUBLICKEY]`: the id of
 * the key in hex, the signature in Base64, and the public key, SubjectPublicKeyInfo in Base64, which lets a site that
 * does not know the key yet record it at the first import.
 */
import { createHash } from "node:crypto";
import { cannot, CorruptError, UntrustedError } from "../oci/error.ts";
import { signDetached, verifyDetached } from "./detached_signature.ts";
import { parsePublicDer, type PrivateKey, type PublicKey } from "./keys.ts";

/** A signature of a document, with the key that made it. */
export interface SignatureLine {
  /** See `PublicKey.id`. */
  readonly keyId: string;
  /** In Base64. */
  readonly signature: string;
  /** The public key that the line has. It is not trusted because of that. */
  readonly publicKey?: PublicKey;
}

/** The most signatures of a bundle. Each one costs a verification. */
export const MAX_SIGNATURES = 32;
/** The most bytes of `kubepkg.json.sig`. */
export const MAX_SIGNATURE_FILE = 16_384;
const LINE = /^([0-9a-f]{64}) ([A-Za-z0-9+/]{8,128}={0,2})(?: ([A-Za-z0-9+/]{8,256}={0,2}))?$/;

/**
 * Parses the lines of `kubepkg.json.sig`. They are not verified.
 *
 * @param what names the bundle in errors
 * @throws {CorruptError} when a line is not a signature, a key has two, or there are too many
 */
export function parseSignatureLines(text: string, what: string): SignatureLine[] {
  const refuse = (reason: string) => new CorruptError(cannot(`use the signatures of ${what}`, reason));
  const lines = text.split("\n").filter((line) => line !== "");
  if (lines.length > MAX_SIGNATURES) throw refuse(`there are ${lines.length}, ${MAX_SIGNATURES} are allowed`);
  if (lines.length === 0) throw refuse("there are none");
  const seen = new Set<string>();
  return lines.map((line, i) => {
    const [, keyId, signature, der] = LINE.exec(line) ?? [];
    if (keyId === undefined || signature === undefined) throw refuse(`line ${i + 1} is not a signature`);
    if (seen.has(keyId)) throw refuse(`key ${keyId} is listed twice`);
    seen.add(keyId);
    if (der === undefined) return { keyId, signature };
    const publicKey = readKey(der, `line ${i + 1} of the signatures of ${what}`);
    if (publicKey.id !== keyId) throw refuse(`the public key of line ${i + 1} is not that of ${keyId}`);
    return { keyId, signature, publicKey };
  });
}

/** Formats signatures as the text of `kubepkg.json.sig`. */
export function formatSignatureLines(lines: readonly SignatureLine[]): string {
  return lines.map(({ keyId, signature, publicKey }) => {
    const fields = [keyId, signature, ...(publicKey === undefined ? [] : [publicKey.der.toBase64()])];
    return `${fields.join(" ")}\n`;
  }).join("");
}

/** Returns the text of `kubepkg.json.sig` for a document. */
export type DocumentSigner = (document: Uint8Array) => string;

/**
 * Creates a signer with one or several keys. The same document gets the same text: a layout is computed more than once, and
 * every signature of ECDSA is another one.
 */
export function createSigner(keys: readonly PrivateKey[]): DocumentSigner {
  const known = new Map<string, string>();
  return (document) => {
    const digest = createHash("sha256").update(document).digest("hex");
    const text = known.get(digest) ?? formatSignatureLines(keys.map((key) => signDocument(document, key)));
    known.set(digest, text);
    return text;
  };
}

/** Signs a document with a private key. */
export function signDocument(bytes: Uint8Array, key: PrivateKey): SignatureLine {
  return { keyId: key.public.id, signature: signDetached(bytes, key), publicKey: key.public };
}

/**
 * Attaches a signature that was made elsewhere.
 *
 * @param what names the signature in errors
 * @throws {UntrustedError} when the signature is not one of the document by that key
 */
export function attachSignature(
  bytes: Uint8Array,
  { signature, publicKey }: { readonly signature: string; readonly publicKey: PublicKey },
  what: string,
): SignatureLine {
  const text = signature.trim();
  if (!verifyDetached(bytes, text, publicKey)) {
    throw new UntrustedError(cannot(`attach ${what}`, `it is not a signature of kubepkg.json by key ${publicKey.id}`));
  }
  return { keyId: publicKey.id, signature: text, publicKey };
}

function readKey(der: string, what: string): PublicKey {
  try {
    return parsePublicDer(Uint8Array.fromBase64(der, { lastChunkHandling: "strict" }), what);
  } catch (cause) {
    throw new CorruptError(cannot(`use ${what}`, "the public key is not valid"), { cause });
  }
}
