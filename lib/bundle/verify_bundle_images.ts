import { imagesOf } from "../kubepkg/images_of.ts";
import { formatRelease } from "../kubepkg/package_id.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { isSignatureLayer } from "../signature/image_signature.ts";
import { BundleEvidence, type EvidenceOptions } from "./bundle_evidence.ts";
import { rootDigest } from "./image_graph.ts";
import { type ImageKeys, verifyImages } from "./verify_images.ts";

/** Largest size of all signatures of a bundle, in bytes. */
const MAX_BYTES = 64 * 1024 * 1024;

/**
 * Verifies that every image of a bundle has a signature by one of the keys, among the referrers that the bundle carries.
 *
 * @returns the bytes of `kubepkg.json`, which names the images that were verified
 * @throws {UntrustedError} that names the first image without one
 * @throws {CorruptError} when the file is not a bundle, or a signature does not match its digest
 */
export async function verifyBundleImages(options: EvidenceOptions, keys: ImageKeys): Promise<Uint8Array> {
  const evidence = await BundleEvidence.read(options);
  const layers = evidence.referrers.flatMap(({ manifest }) => manifest.kind === "manifest" ? manifest.layers : [])
    .filter(isSignatureLayer);
  let left = MAX_BYTES;
  const wanted = layers.filter(({ size }) => (left -= size) >= 0);
  const blobs = new Map<Digest, Uint8Array>();
  await evidence.readBlobs(wanted, (digest, bytes) => void blobs.set(digest, bytes));
  for (const kubepkg of evidence.packages) {
    const images = imagesOf(kubepkg).map((image) => {
      const digest = rootDigest(kubepkg, image, options.what);
      const repository = repositoryOf(image.reference);
      return {
        name: formatReference(image.reference),
        digest,
        attached: evidence.referrers.filter((it) => {
          return it.kubepkg === kubepkg && it.line.subject === digest && it.line.name === repository;
        }).map(({ bytes }) => bytes),
        read: (layer: { digest: Digest }) => Promise.resolve(blobs.get(layer.digest)),
      };
    });
    await verifyImages(images, keys, `import ${formatRelease(kubepkg)}`);
  }
  return evidence.document;
}
