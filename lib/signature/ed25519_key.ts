/** A key pair as text, in the formats of `openssl` and `cosign`. */
export interface KeyPair {
  /** PKCS#8 in PEM (RFC 7468 section 10). */
  readonly privateKey: string;
  /** SubjectPublicKeyInfo in PEM (RFC 7468 section 13). */
  readonly publicKey: string;
}

/** A key that signs or verifies. */
export interface SignatureKey {
  readonly key: CryptoKey;
  /** Identifies the pair: the SHA-256 of the DER of its public key, in hex. */
  readonly id: string;
}

const ALGORITHM = "Ed25519";
const [PRIVATE, PUBLIC] = ["PRIVATE KEY", "PUBLIC KEY"];
/** The DER of every key of this kind has less than 100 bytes; the limit leaves room for comments around the PEM. */
const MAX_PEM = 16_384;

/** Creates a key pair (RFC 8032). */
export async function createKeyPair(): Promise<KeyPair> {
  const pair = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as CryptoKeyPair;
  return {
    privateKey: formatPem(PRIVATE!, await crypto.subtle.exportKey("pkcs8", pair.privateKey)),
    publicKey: formatPem(PUBLIC!, await crypto.subtle.exportKey("spki", pair.publicKey)),
  };
}

/**
 * Parses a private key.
 *
 * @param what names the key in errors, such as its path
 * @throws {TypeError} when it is no Ed25519 private key in PEM, or is encrypted
 */
export async function parsePrivateKey(pem: string, what: string): Promise<SignatureKey> {
  const { key, publicKey } = await readPrivateKey(pem, what);
  return { key, id: await identify(publicKey) };
}

/**
 * Formats the public half of a private key, as PEM.
 *
 * @param what names the private key in errors
 * @throws {TypeError} as `parsePrivateKey`
 */
export async function formatPublicKey(pem: string, what: string): Promise<string> {
  const { publicKey } = await readPrivateKey(pem, what);
  return formatPem(PUBLIC!, await crypto.subtle.exportKey("spki", publicKey));
}

async function readPrivateKey(pem: string, what: string): Promise<{ key: CryptoKey; publicKey: CryptoKey }> {
  if (pem.includes("-----BEGIN ENCRYPTED")) {
    throw new TypeError(`Cannot read ${what}: the private key has a passphrase, which is not supported`);
  }
  const der = parsePem(pem, PRIVATE!, what);
  const key = await importKey("pkcs8", der, { what, usage: "sign" });
  // The public half is a field of the private key's JSON form (RFC 8037 section 2).
  const { kty, crv, x } = await crypto.subtle.exportKey("jwk", key);
  const jwk = { kty, crv, x } as JsonWebKey;
  return { key, publicKey: await crypto.subtle.importKey("jwk", jwk, ALGORITHM, true, ["verify"]) };
}

/**
 * Parses a public key.
 *
 * @param what names the key in errors, such as its path
 * @throws {TypeError} when it is no Ed25519 public key in PEM
 */
export async function parsePublicKey(pem: string, what: string): Promise<SignatureKey> {
  const key = await importKey("spki", parsePem(pem, PUBLIC!, what), { what, usage: "verify" });
  return { key, id: await identify(key) };
}

async function importKey(
  format: "pkcs8" | "spki",
  der: Uint8Array<ArrayBuffer>,
  { what, usage }: { readonly what: string; readonly usage: KeyUsage },
): Promise<CryptoKey> {
  try {
    return await crypto.subtle.importKey(format, der, ALGORITHM, true, [usage]);
  } catch (error) {
    throw new TypeError(`Cannot read ${what}: it is not an Ed25519 key`, { cause: error });
  }
}

async function identify(publicKey: CryptoKey): Promise<string> {
  const der = await crypto.subtle.exportKey("spki", publicKey);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", der)).toHex();
}

function parsePem(text: string, label: string, what: string): Uint8Array<ArrayBuffer> {
  const blocks = text.length > MAX_PEM
    ? []
    : [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g)];
  const [block] = blocks;
  if (block === undefined || blocks.length > 1 || block[1] !== label) {
    const found = block === undefined ? "nothing" : blocks.map(([, name]) => `"${name}"`).join(", ");
    throw new TypeError(`Cannot read ${what}: expected one PEM block "${label}", found ${found}`);
  }
  try {
    return Uint8Array.fromBase64(block[2]!);
  } catch (error) {
    throw new TypeError(`Cannot read ${what}: the PEM block is not Base64`, { cause: error });
  }
}

function formatPem(label: string, der: ArrayBuffer): string {
  const lines = new Uint8Array(der).toBase64().match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}
