import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { joinChunks } from "../bytes/join_chunks.ts";

/** A certificate and its key, in PEM. */
export interface AgentIdentity {
  readonly cert: string;
  readonly key: string;
}

/**
 * The name that every certificate of an agent has besides its host names. A client that has pinned a certificate verifies it
 * under this name, because the address of the agent may change.
 */
export const PINNED_NAME = "agent.crpe.internal";

// The object identifiers of RFC 5280 and RFC 5758, in DER.
const OID = {
  ecdsaWithSha256: "06082a8648ce3d040302",
  commonName: "0603550403",
  keyUsage: "0603551d0f",
  subjectAltName: "0603551d11",
  basicConstraints: "0603551d13",
  extendedKeyUsage: "0603551d25",
  serverAuth: "06082b06010505070301",
} as const;
const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  utf8: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  version: 0xa0,
  extensions: 0xa3,
  dnsName: 0x82,
} as const;
const SERIAL_BYTES = 16;
const MAX_NAME = 64;

/**
 * Creates a self-signed certificate (RFC 5280) with a key for ECDSA with P-256. It is valid at any time, because it is
 * trusted by its fingerprint, and the clock of a machine without a network may be wrong.
 *
 * @param names the host names of the machine; the first one is that of the subject
 */
export function createSelfSigned(names: readonly string[]): AgentIdentity {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const algorithm = der(TAG.sequence, hex(OID.ecdsaWithSha256));
  const [subject = PINNED_NAME] = names;
  const name = formatName(subject.slice(0, MAX_NAME));
  const serial = Uint8Array.from(randomBytes(SERIAL_BYTES));
  // A positive number without a leading zero byte.
  serial[0] = serial[0]! & 0x7f | 0x40;
  const certified = der(
    TAG.sequence,
    der(TAG.version, der(TAG.integer, Uint8Array.of(2))),
    der(TAG.integer, serial),
    algorithm,
    name,
    // RFC 5280, 4.1.2.5: the end of a certificate that has none.
    der(TAG.sequence, der(TAG.utcTime, ascii("700101000000Z")), der(TAG.generalizedTime, ascii("99991231235959Z"))),
    name,
    Uint8Array.from(publicKey.export({ format: "der", type: "spki" })),
    der(TAG.extensions, der(TAG.sequence, ...formatExtensions([...new Set([PINNED_NAME, ...names])]))),
  );
  const signature = Uint8Array.from(sign("sha256", certified, privateKey));
  const certificate = der(TAG.sequence, certified, algorithm, der(TAG.bits, Uint8Array.of(0), signature));
  return {
    cert: formatCertificate(certificate),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}

/** Formats a certificate in DER as PEM (RFC 7468, section 5). */
export function formatCertificate(certificate: Uint8Array): string {
  const lines = certificate.toBase64().match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

/** Returns the fingerprint of a certificate in DER: `sha256:` and its SHA-256 in hex. */
export function fingerprintOf(certificate: Uint8Array): string {
  return `sha256:${createHash("sha256").update(certificate).digest("hex")}`;
}

/** Returns the DER of the first certificate in a PEM text; `undefined` if there is none. */
export function readCertificate(pem: string): Uint8Array | undefined {
  const [, body] = /-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/.exec(pem) ?? [];
  try {
    return body === undefined ? undefined : Uint8Array.fromBase64(body);
  } catch {
    return undefined;
  }
}

function formatExtensions(names: readonly string[]): Uint8Array[] {
  const critical = der(TAG.boolean, Uint8Array.of(0xff));
  const extension = (oid: string, ...parts: Uint8Array[]) => {
    const value = parts.pop()!;
    return der(TAG.sequence, hex(oid), ...parts, der(TAG.octets, value));
  };
  return [
    extension(OID.basicConstraints, critical, der(TAG.sequence)),
    // digitalSignature, with seven unused bits.
    extension(OID.keyUsage, critical, der(TAG.bits, Uint8Array.of(7, 0x80))),
    extension(OID.extendedKeyUsage, der(TAG.sequence, hex(OID.serverAuth))),
    extension(OID.subjectAltName, der(TAG.sequence, ...names.map((name) => der(TAG.dnsName, ascii(name))))),
  ];
}

function formatName(text: string): Uint8Array {
  const attribute = der(TAG.sequence, hex(OID.commonName), der(TAG.utf8, new TextEncoder().encode(text)));
  return der(TAG.sequence, der(TAG.set, attribute));
}

// ITU-T X.690: a tag, the length of the content, the content.
function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 255];
  return joinChunks([Uint8Array.from(head), ...parts]);
}

function hex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}

function ascii(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
