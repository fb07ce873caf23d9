import type { Digest } from "../oci/digest.ts";
import { cannot, unlessCorrupt, UntrustedError } from "../oci/error.ts";
import { type Descriptor, parseManifest } from "../oci/manifest.ts";
import { isSignatureLayer, verifyImageSignature } from "../signature/image_signature.ts";
import type { PublicKey } from "../signature/keys.ts";

/** Public keys of which one has to have signed each image. */
export interface ImageKeys {
  /** Names the keys in errors, such as the path of their file. */
  readonly name: string;
  readonly keys: readonly PublicKey[];
}

/** An image whose signatures are verified. */
export interface SignedImage {
  /** Its reference, for errors. */
  readonly name: string;
  readonly digest: Digest;
  /** The manifests that are attached to it. */
  readonly attached: readonly Uint8Array[];
  /** Reads a layer of these; `undefined` when it is missing. The bytes are verified. */
  readonly read: (layer: Descriptor) => Promise<Uint8Array | undefined>;
}

/** Most signatures that are looked at for one image; each one costs a verification by every key. */
const MAX_SIGNATURES = 256;

/**
 * Verifies that each image has a signature by one of the keys.
 *
 * @param action what is refused otherwise: `pack line4@1.0.0`
 * @throws {UntrustedError} that names the first image without one
 */
export async function verifyImages(
  images: Iterable<SignedImage>,
  { name, keys }: ImageKeys,
  action: string,
): Promise<void> {
  const ids = keys.map(({ id }) => id).join(", ");
  for (const image of images) {
    const problem = await findProblem(image, keys);
    if (problem === undefined) continue;
    const which = keys.length === 1 ? `key ${ids}` : `one of the keys ${ids}`;
    throw new UntrustedError(cannot(action, `${image.name}@${image.digest} ${problem} ${which} (${name})`));
  }
}

async function findProblem(image: SignedImage, keys: readonly PublicKey[]): Promise<string | undefined> {
  const layers = image.attached.flatMap(listLayers).filter(isSignatureLayer);
  let isMissing = false;
  for (const layer of layers.slice(0, MAX_SIGNATURES)) {
    const bytes = await image.read(layer);
    if (bytes === undefined) isMissing = true;
    else if (verifyImageSignature({ layer, bytes }, image.digest, keys) !== undefined) return undefined;
  }
  if (layers.length === 0) return "has no signature, and must be signed by";
  return isMissing ? "has a signature that is missing here, and must be signed by" : "is not signed by";
}

function listLayers(bytes: Uint8Array): readonly Descriptor[] {
  const manifest = unlessCorrupt(() => parseManifest(bytes));
  return manifest?.kind === "manifest" ? manifest.layers : [];
}
