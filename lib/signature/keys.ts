/**
 * Keys in PEM, as `openssl` and `cosign` use them: Ed25519 (RFC 8032) and ECDSA with P-256 (FIPS 186-5). A private key
 * is PKCS#8, also with a passphrase, or SEC 1; a public key is SubjectPublicKeyInfo.
 */
import { Buffer } from "node:buffer";
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { cannot, UsageError } from "../oci/error.ts";

/** A key pair as text, in the formats of `openssl` and `cosign`. */
interface KeyPair {
  /** PKCS#8 in PEM (RFC 7468 section 10). */
  readonly privateKey: string;
  /** SubjectPublicKeyInfo in PEM (RFC 7468 section 13). */
  readonly publicKey: string;
}

/** The algorithms of signatures: the names of `crpe keygen --algorithm`. */
export const ALGORITHMS = ["ed25519", "p256"] as const;
/** An algorithm of signatures. ECDSA with P-256 signs the SHA-256 of the bytes. */
export type Algorithm = typeof ALGORITHMS[number];

/** A public key, which verifies. */
export interface PublicKey {
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
  /** Identifies the pair: the SHA-256 of `der`, in hex. */
  readonly id: string;
  /** SubjectPublicKeyInfo (RFC 5280 section 4.1). */
  readonly der: Uint8Array<ArrayBuffer>;
}

/** A private key, which signs. */
export interface PrivateKey {
  readonly algorithm: Algorithm;
  readonly key: KeyObject;
  readonly public: PublicKey;
}

/** Options for reading a private key. */
interface PrivateKeyOptions {
  /** Names the key in errors, such as its path. */
  readonly what: string;
  /** Returns the passphrase of a key that has one; without it such a key is refused. */
  readonly passphrase?: (() => string | Promise<string>) | undefined;
}

const [PRIVATE, ENCRYPTED, SEC1, PUBLIC] = ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "PUBLIC KEY"];
const COSIGN_PRIVATE = /^ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY$/;
/** The DER of every key of these kinds has less than 500 bytes; the limit leaves room for comments around the PEM. */
const MAX_PEM = 16_384;
// The runtimes of crpe name the curve differently.
const CURVES: ReadonlySet<string | undefined> = new Set(["prime256v1", "p256", "P-256"]);

/** Creates a key pair. */
export function createKeyPair(algorithm: Algorithm = "ed25519"): KeyPair {
  const { privateKey, publicKey } = algorithm === "ed25519"
    ? generateKeyPairSync("ed25519")
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    privateKey: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
    publicKey: publicKey.export({ format: "pem", type: "spki" }).toString(),
  };
}

/**
 * Parses a private key.
 *
 * @throws {UsageError} when it is not a private key of these algorithms in PEM, or its passphrase is wrong or missing
 */
export async function parsePrivateKey(pem: string, { what, passphrase }: PrivateKeyOptions): Promise<PrivateKey> {
  const { label, text } = findPem(pem, what);
  if (COSIGN_PRIVATE.test(label)) {
    throw new UsageError(
      cannot(
        `read ${what}`,
        "it is a private key in the format of cosign alone. Sign with cosign sign-blob, and attach " +
          "the signature with crpe sign --signature",
      ),
    );
  }
  if (label !== PRIVATE && label !== ENCRYPTED && label !== SEC1) throw unexpected(PRIVATE!, [label], what);
  const isEncrypted = label === ENCRYPTED || /^Proc-Type:.*ENCRYPTED/m.test(text);
  if (isEncrypted && passphrase === undefined) {
    throw new UsageError(
      cannot(`read ${what}`, "the private key has a passphrase", "--passphrase-file names a file with it"),
    );
  }
  const secret = isEncrypted ? await passphrase!() : undefined;
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: text, format: "pem", passphrase: secret });
  } catch (cause) {
    const reason = isEncrypted ? "the passphrase is wrong, or the key is damaged" : "it is not a private key";
    throw new UsageError(cannot(`read ${what}`, reason), { cause });
  }
  return { key, algorithm: algorithmOf(key, what), public: describe(createPublicKey(key), what) };
}

/**
 * Parses a public key.
 *
 * @param what names the key in errors, such as its path
 * @throws {UsageError} when it is not a public key of these algorithms in PEM
 */
export function parsePublicKey(pem: string, what: string): PublicKey {
  const { label, text } = findPem(pem, what);
  if (label !== PUBLIC) throw unexpected(PUBLIC!, [label], what);
  return readPublic(() => createPublicKey({ key: text, format: "pem" }), what);
}

/**
 * Parses a public key in DER.
 *
 * @param what names the key in errors
 * @throws {UsageError} when it is not a public key of these algorithms
 */
export function parsePublicDer(der: Uint8Array, what: string): PublicKey {
  return readPublic(() => createPublicKey({ key: Buffer.from(der), format: "der", type: "spki" }), what);
}

/** Formats a public key, as PEM. */
export function formatPublicKey({ key }: PublicKey): string {
  return key.export({ format: "pem", type: "spki" }).toString();
}

/** Splits a text into its PEM blocks, each with its label. */
export function splitPem(text: string): { label: string; text: string }[] {
  return [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----[^]*?-----END \1-----/g)]
    .map(([block, label]) => ({ label: label!, text: `${block}\n` }));
}

function readPublic(read: () => KeyObject, what: string): PublicKey {
  let key: KeyObject;
  try {
    key = read();
  } catch (cause) {
    throw new UsageError(cannot(`read ${what}`, "it is not a public key"), { cause });
  }
  return describe(key, what);
}

function describe(key: KeyObject, what: string): PublicKey {
  const algorithm = algorithmOf(key, what);
  const der = Uint8Array.from(key.export({ format: "der", type: "spki" }));
  return { algorithm, key, der, id: createHash("sha256").update(der).digest("hex") };
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject, what: string): Algorithm {
  if (asymmetricKeyType === "ed25519") return "ed25519";
  const { namedCurve, modulusLength } = asymmetricKeyDetails ?? {};
  if (asymmetricKeyType === "ec" && CURVES.has(namedCurve)) return "p256";
  const found = [asymmetricKeyType, namedCurve ?? modulusLength].filter((it) => it !== undefined).join(" ");
  throw new UsageError(cannot(`use ${what}`, `it is a key for ${found}; Ed25519 and ECDSA with P-256 are possible`));
}

function findPem(text: string, what: string): { label: string; text: string } {
  const blocks = text.length > MAX_PEM ? [] : splitPem(text).filter(({ label }) => label !== "EC PARAMETERS");
  const [block] = blocks;
  if (block === undefined || blocks.length > 1) throw unexpected("KEY", blocks.map(({ label }) => label), what);
  return block;
}

function unexpected(expected: string, labels: readonly string[], what: string): UsageError {
  const found = labels.length === 0 ? "nothing" : labels.map((name) => `"${name}"`).join(", ");
  return new UsageError(cannot(`read ${what}`, `expected one PEM block "${expected}", found ${found}`));
}
