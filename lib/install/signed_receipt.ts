import { computeDigest, type Digest, isDigest } from "../oci/digest.ts";
import { cannot, CorruptError, UntrustedError } from "../oci/error.ts";
import { isJsonObject } from "../oci/json.ts";
import { verifyDetached } from "../signature/detached_signature.ts";
import type { PrivateKey, PublicKey } from "../signature/keys.ts";
import { formatSignatureLines, parseSignatureLines, signDocument } from "../signature/signature_lines.ts";
import { digestOfList } from "../store/inventory_code.ts";
import type { Receipt } from "./receipts.ts";

/**
 * The fields that are signed, as one line of JSON in this order. The lists are signed by their digests, so that a receipt
 * without them, as in a QR code, can be verified too.
 */
const SIGNED = [
  ...["name", "namespace", "version", "node", "imported", "repaired", "trust", "key"],
  ...["list", "imageList"],
] as const;

/** A receipt whose signature is valid. */
interface VerifiedReceipt {
  /** The signed fields. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** The id of the key that signed it. */
  readonly keyId: string;
  /** Whether the receipt has its lists; that of a QR code has only their digests. */
  readonly isWhole: boolean;
}

/** Signs a receipt. */
export function signReceipt(receipt: Receipt, key: PrivateKey): Receipt {
  const whole = { ...receipt, imageList: digestOfImages(receipt.images) };
  return { ...whole, signature: formatSignatureLines([signDocument(signedBytes({ ...whole }), key)]).trimEnd() };
}

/**
 * Verifies a receipt: that of a file, or the text of a QR code.
 *
 * @param options.what names the receipt in errors
 * @param options.publicKey the key that must have signed it; without it any key may have
 * @throws {CorruptError} when it is no receipt, or was changed
 * @throws {UntrustedError} when it is not signed, or by another key
 */
export function verifyReceipt(
  document: unknown,
  { what, publicKey }: { readonly what: string; readonly publicKey?: PublicKey | undefined },
): VerifiedReceipt {
  if (!isJsonObject(document) || !isDigest(document.list) || typeof document.imported !== "string") {
    throw new CorruptError(cannot(`verify ${what}`, "it is no receipt"));
  }
  const { signature, digests, images, list, imageList } = document;
  if (signature === undefined) throw new UntrustedError(cannot(`verify ${what}`, "it is not signed"));
  if (typeof signature !== "string") throw new CorruptError(cannot(`verify ${what}`, "its signature is not valid"));
  const [line, ...others] = parseSignatureLines(signature, what);
  if (others.length > 0) throw new CorruptError(cannot(`verify ${what}`, "it has several signatures"));
  const { keyId } = line!;
  if (publicKey !== undefined && publicKey.id !== keyId) {
    throw new UntrustedError(cannot(`verify ${what}`, `it is signed by key ${keyId}, and must be by ${publicKey.id}`));
  }
  const key = publicKey ?? line!.publicKey;
  if (key === undefined) throw new UntrustedError(cannot(`verify ${what}`, `name the public key ${keyId}`));
  if (!verifyDetached(signedBytes(document), line!.signature, key)) {
    throw new CorruptError(cannot(`verify ${what}`, `its signature by key ${keyId} is wrong; it was changed`));
  }
  // A list that is there must be the one that was signed.
  const isList = digests === undefined || isDigestList(digests) && digestOfList(digests) === list;
  const isImages = images === undefined || digestOfImages(images) === imageList;
  if (!isList || !isImages) {
    throw new CorruptError(cannot(`verify ${what}`, `its list of ${isList ? "images" : "digests"} was changed`));
  }
  const isWhole = digests !== undefined && images !== undefined;
  return { fields: signedFields(document), keyId, isWhole };
}

function isDigestList(value: unknown): value is Digest[] {
  return Array.isArray(value) && value.every(isDigest);
}

// The order of the fields of an image is that of the receipt.
function digestOfImages(images: unknown): Digest {
  const pairs = Array.isArray(images) ? images.map((it) => isJsonObject(it) ? [it.reference, it.digest] : it) : images;
  return computeDigest(JSON.stringify(pairs));
}

function signedFields(document: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    SIGNED.filter((name) => document[name] !== undefined).map((name) => [name, document[name]]),
  );
}

function signedBytes(document: Readonly<Record<string, unknown>>): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(signedFields(document)));
}
