/**
 * DSSE envelopes around in-toto statements, alone or in a Sigstore bundle
 * (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md,
 * https://github.com/in-toto/attestation/blob/v1.0/spec/v1/statement.md).
 */
import { type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError } from "../oci/error.ts";
import { isJsonObject, type JsonLimits, parseJson } from "../oci/json.ts";
import { verifyDetached } from "./detached_signature.ts";
import type { PublicKey } from "./keys.ts";

/** What an envelope says about some content. */
export interface Statement {
  readonly predicateType: string;
  readonly predicate: unknown;
  /** The digests of the content. */
  readonly subjects: readonly Digest[];
}

/** An envelope with its statement. The signatures are not verified. */
interface Envelope {
  readonly statement: Statement;
  /** What is signed: the pre-authentication encoding of the payload. */
  readonly signedBytes: Uint8Array;
  /** In Base64. */
  readonly signatures: readonly string[];
}

const PAYLOAD_TYPE = "application/vnd.in-toto+json";
const MAX_SIGNATURES = 32;

/**
 * Parses an envelope, or a Sigstore bundle that has one.
 *
 * @returns `undefined` when the document is none, or its payload is not an in-toto statement
 * @throws {CorruptError} when it is not JSON, or exceeds a limit
 */
export function parseEnvelope(bytes: Uint8Array, limits: JsonLimits): Envelope | undefined {
  const json = parseJson(bytes, "the envelope", limits);
  const envelope = isJsonObject(json) && isJsonObject(json.dsseEnvelope) ? json.dsseEnvelope : json;
  if (!isJsonObject(envelope)) return undefined;
  const { payload, payloadType, signatures } = envelope;
  if (typeof payload !== "string" || payloadType !== PAYLOAD_TYPE || !Array.isArray(signatures)) return undefined;
  const decoded = decode(payload);
  const statement = parseStatement(decoded, limits);
  if (statement === undefined) return undefined;
  return {
    statement,
    signedBytes: encodePayload(decoded),
    signatures: signatures.slice(0, MAX_SIGNATURES).map((it: unknown) => isJsonObject(it) ? it.sig : undefined)
      .filter((sig) => typeof sig === "string"),
  };
}

/** Parses an in-toto statement. @throws {CorruptError} when it is not JSON, or exceeds a limit */
export function parseStatement(bytes: Uint8Array, limits: JsonLimits): Statement | undefined {
  const json = parseJson(bytes, "the statement", limits);
  if (!isJsonObject(json) || typeof json.predicateType !== "string" || !Array.isArray(json.subject)) return undefined;
  const { predicateType, predicate, subject } = json;
  const subjects = subject.flatMap((it: unknown) => isJsonObject(it) && isJsonObject(it.digest) ? [it.digest] : [])
    .flatMap((digests) => Object.entries(digests).map(([algorithm, hex]) => `${algorithm}:${hex}`)).filter(isDigest);
  return { predicateType, predicate, subjects };
}

/** Reports whether one of the signatures of an envelope is by a key. */
export function verifyEnvelope({ signedBytes, signatures }: Envelope, key: PublicKey): boolean {
  return signatures.some((signature) => verifyDetached(signedBytes, signature, key));
}

function decode(payload: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(payload);
  } catch (cause) {
    throw new CorruptError(cannot("read the envelope", "its payload is not Base64"), { cause });
  }
}

// DSSE 1.0.2, "Signature Definition": PAE(type, body).
function encodePayload(payload: Uint8Array): Uint8Array {
  const head = new TextEncoder().encode(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `);
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload, head.length);
  return bytes;
}
