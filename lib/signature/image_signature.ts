/**
 * Signatures of images, as `cosign sign --key` makes them. There are two formats, each in a layer of a manifest that is
 * attached to the image:
 *
 * - A "simple signing" document, with its signature in an annotation of the layer. cosign up to version 2 writes it.
 * - A Sigstore bundle with a DSSE envelope around an in-toto statement. cosign 3 writes it.
 *
 * Both name the digest of the image, which is compared. Transparency logs and certificates are not looked at: what counts
 * is the key.
 */
import { unlessCorrupt } from "../oci/error.ts";
import { isJsonObject, parseJson } from "../oci/json.ts";
import type { Digest } from "../oci/digest.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { verifyDetached } from "./detached_signature.ts";
import { parseEnvelope, type Statement, verifyEnvelope } from "./dsse.ts";
import type { PublicKey } from "./keys.ts";

/** Largest layer that is read for a signature, in bytes. */
export const MAX_SIGNATURE_LAYER = 1024 * 1024;

const SIMPLE_SIGNING = "application/vnd.dev.cosign.simplesigning.v1+json";
const SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature";
const SIGSTORE_BUNDLE = /^application\/vnd\.dev\.sigstore\.bundle(?:\.v0\.[0-9]+\+json|\+json;version=0\.[0-9]+)$/;
/** The predicate of a signature. Attestations are signed too, but they say something else about the image. */
const SIGN_PREDICATE = "https://sigstore.dev/cosign/sign/v1";
const LIMITS = { maxBytes: MAX_SIGNATURE_LAYER, maxDepth: 32, maxValues: 10_000 };

/** Reports whether a layer has the format of a signature. */
export function isSignatureLayer({ mediaType, size }: Descriptor): boolean {
  return size <= MAX_SIGNATURE_LAYER && (mediaType === SIMPLE_SIGNING || SIGSTORE_BUNDLE.test(mediaType));
}

/** Reports whether a media type is that of a Sigstore bundle. */
export function isSigstoreBundle(mediaType: string): boolean {
  return SIGSTORE_BUNDLE.test(mediaType);
}

/**
 * Verifies a layer as a signature of an image.
 *
 * @param bytes the layer
 * @returns the key that made it; `undefined` when none of the keys did, or it is not about this image
 */
export function verifyImageSignature(
  { layer, bytes }: { readonly layer: Descriptor; readonly bytes: Uint8Array },
  image: Digest,
  keys: readonly PublicKey[],
): PublicKey | undefined {
  return unlessCorrupt(() =>
    layer.mediaType === SIMPLE_SIGNING ? verifySimple(layer, bytes, { image, keys }) : verifyBundle(bytes, image, keys)
  );
}

interface Claim {
  readonly image: Digest;
  readonly keys: readonly PublicKey[];
}

function verifySimple(layer: Descriptor, bytes: Uint8Array, { image, keys }: Claim): PublicKey | undefined {
  const signature = layer.annotations?.[SIGNATURE_ANNOTATION];
  if (signature === undefined) return undefined;
  const json = parseJson(bytes, "the signature", LIMITS);
  const critical = isJsonObject(json) && isJsonObject(json.critical) ? json.critical : {};
  const signed = isJsonObject(critical.image) ? critical.image["docker-manifest-digest"] : undefined;
  if (signed !== image) return undefined;
  return keys.find((key) => verifyDetached(bytes, signature, key));
}

function verifyBundle(bytes: Uint8Array, image: Digest, keys: readonly PublicKey[]): PublicKey | undefined {
  const envelope = parseEnvelope(bytes, LIMITS);
  if (envelope === undefined) return undefined;
  const { predicateType, subjects }: Statement = envelope.statement;
  if (predicateType !== SIGN_PREDICATE || !subjects.includes(image)) return undefined;
  return keys.find((key) => verifyEnvelope(envelope, key));
}
