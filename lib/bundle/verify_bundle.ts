import { DigestMismatchError, Verifier } from "../content/verify.ts";
import { imagesOf, type KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { blobEntryName } from "./entry_name.ts";
import type { BundleProgress } from "./pack_bundle.ts";
import { type BundleBlob, readBundle } from "./read_bundle.ts";

/** Something that is broken in a bundle. */
export interface BundleProblem {
  readonly message: string;
  /** The content that is wrong or missing, if it is one. */
  readonly digest?: Digest;
  /** The images that it breaks. */
  readonly images?: readonly string[];
}

/** What re-hashing a bundle found. */
export interface BundleVerification {
  readonly name: string;
  readonly version: string;
  /** How many blobs and manifests were read, and their size in bytes. */
  readonly blobs: { readonly count: number; readonly size: number };
  /** Empty: the bundle is whole. */
  readonly problems: readonly BundleProblem[];
}

const PIECE_BYTES = 1024 * 1024;

/**
 * Re-hashes all of a bundle and goes on after what is broken, as far as the file can be read.
 *
 * @throws {CorruptError} when it is no bundle at all
 */
export async function verifyBundle(
  stream: ReadableStream<Uint8Array>,
  onProgress?: (progress: BundleProgress) => void,
): Promise<BundleVerification> {
  const problems: BundleProblem[] = [];
  const bundle = await readBundle(stream, { onProblem: ({ message }) => problems.push({ message }) });
  const { kubepkg, declared } = bundle;
  const omitted = new Set(kubepkg.status?.omitted ?? []);
  // A bundle that does not list what it has must at least have what its images are.
  const needed = [...declared?.keys() ?? imagesOf(kubepkg).map(({ digest }) => digest)];
  const missing = new Set(needed.filter((digest) => digest !== undefined && !omitted.has(digest)));
  const blobs = { count: 0, size: 0 };
  try {
    for (let blob = await bundle.next(); blob !== undefined; blob = await bundle.next()) {
      missing.delete(blob.digest);
      const problem = await checkBlob(blob);
      if (problem !== undefined) problems.push({ message: problem, ...breaks(kubepkg, blob.digest) });
      blobs.count++;
      blobs.size += blob.size;
      onProgress?.({ bytes: blobs.size, entry: blob.name });
    }
  } catch (error) {
    await bundle.cancel(error);
    if (!(error instanceof CorruptError)) throw error;
    problems.push({ message: error.message });
  }
  for (const digest of missing as ReadonlySet<Digest>) {
    problems.push({ message: `Cannot find ${blobEntryName(digest)}: it is missing`, ...breaks(kubepkg, digest) });
  }
  return { name: kubepkg.metadata.name, version: kubepkg.spec.version, blobs, problems };
}

async function checkBlob(blob: BundleBlob): Promise<string | undefined> {
  try {
    const verifier = new Verifier(blob.digest, blob.size);
    for (let piece = await blob.read(PIECE_BYTES); piece !== undefined; piece = await blob.read(PIECE_BYTES)) {
      verifier.update(piece);
    }
    verifier.finish();
    return undefined;
  } catch (error) {
    if (error instanceof DigestMismatchError) return error.message;
    throw error;
  }
}

function breaks(kubepkg: KubePkg, digest: Digest): { digest: Digest; images: string[] } {
  const names = new Set(
    (kubepkg.status?.digests ?? []).filter((line) => line.digest === digest).map(({ name }) => name),
  );
  const images = imagesOf(kubepkg).filter((image) =>
    image.digest === digest || names.has(repositoryOf(image.reference))
  );
  return { digest, images: images.map(({ reference }) => formatReference(reference)) };
}
