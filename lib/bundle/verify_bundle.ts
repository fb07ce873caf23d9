import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError, Verifier } from "../content/verifier.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { BundleManifests } from "./bundle_manifests.ts";
import { blobEntryName } from "./entry_names.ts";
import { readImageGraph } from "./image_graph.ts";
import type { BundleProgress } from "./pack_bundle.ts";
import { type BundleBlob, type BundleReader, readBundle } from "./read_bundle.ts";

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

/** How a bundle is verified. */
export interface VerifyBundleOptions {
  /** Names the file in errors. */
  readonly what?: string;
  readonly onProgress?: (progress: BundleProgress) => void;
}

const PIECE_BYTES = 1024 * 1024;

/**
 * Re-hashes all of a bundle and goes on after what is broken, as far as the file can be read; then it looks whether the
 * images have all that their manifests name, whatever `status.digests` lists.
 *
 * @throws {CorruptError} when it is no bundle at all
 */
export async function verifyBundle(
  source: BundleSource,
  { what, onProgress }: VerifyBundleOptions = {},
): Promise<BundleVerification> {
  const problems: BundleProblem[] = [];
  const bundle = await readBundle(source, { what, onProblem: ({ message }) => problems.push({ message }) });
  // The check sum of the file alone speaks for the pieces of a part.
  bundle.readThrough();
  try {
    const { blobs, problems: found } = await new BundleCheck(bundle, problems).run(onProgress);
    return { name: bundle.kubepkg.metadata.name, version: bundle.kubepkg.spec.version, blobs, problems: found };
  } finally {
    await bundle.cancel();
  }
}

class BundleCheck {
  readonly #bundle: BundleReader;
  readonly #kubepkg: KubePkg;
  readonly #problems: BundleProblem[];
  readonly #manifests: BundleManifests;
  readonly #omitted: ReadonlySet<Digest>;
  readonly #sizes = new Map<Digest, number>();
  readonly #reported = new Set<Digest>();

  constructor(bundle: BundleReader, problems: BundleProblem[]) {
    this.#bundle = bundle;
    this.#kubepkg = bundle.kubepkg;
    this.#problems = problems;
    const carried = new Set(
      bundle.part?.carries.filter(({ start }) => start === undefined).map(({ digest }) => digest),
    );
    this.#omitted = new Set([
      ...bundle.kubepkg.status?.omitted ?? [],
      // What other parts bring, or the rest of.
      ...bundle.part === undefined ? [] : [...bundle.declared?.keys() ?? []].filter((digest) => !carried.has(digest)),
    ]);
    this.#manifests = new BundleManifests(bundle.kubepkg, bundle);
  }

  async run(onProgress: VerifyBundleOptions["onProgress"]): Promise<Pick<BundleVerification, "blobs" | "problems">> {
    const blobs = { count: 0, size: 0 };
    try {
      for (let blob = await this.#bundle.next(); blob !== undefined; blob = await this.#bundle.next()) {
        await this.#check(blob);
        blobs.count++;
        blobs.size += blob.size;
        onProgress?.({ bytes: blobs.size, entry: blob.name });
      }
    } catch (error) {
      this.#note(error);
    }
    this.#findMissing();
    await this.#checkImages();
    return { blobs, problems: this.#problems };
  }

  async #check(blob: BundleBlob): Promise<void> {
    const { digest, size } = blob;
    // A piece has no digest; the check sum of the file speaks for it.
    if (blob.start !== undefined) return;
    this.#sizes.set(digest, size);
    try {
      if (this.#manifests.mayBeManifest(blob)) await this.#manifests.take(blob);
      else await hash(blob);
    } catch (error) {
      if (!(error instanceof DigestMismatchError)) throw error;
      this.#report(error.message, digest, breaks(this.#kubepkg, digest));
    }
  }

  #findMissing(): void {
    const { declared } = this.#bundle;
    // A bundle that does not list what it has must at least have what its images are.
    for (const digest of declared?.keys() ?? imagesOf(this.#kubepkg).map(({ digest }) => digest)) {
      if (digest === undefined || this.#sizes.has(digest) || this.#omitted.has(digest)) continue;
      this.#reportMissing(digest, breaks(this.#kubepkg, digest));
    }
  }

  async #checkImages(): Promise<void> {
    const missing = new Map<Digest, string[]>();
    for (const image of imagesOf(this.#kubepkg)) {
      const lacking = new Set<Digest>();
      try {
        await readImageGraph(this.#kubepkg, image, this.#content(), lacking);
      } catch (error) {
        this.#note(error, formatReference(image.reference));
      }
      for (const digest of lacking) {
        missing.set(digest, [...missing.get(digest) ?? [], formatReference(image.reference)]);
      }
    }
    for (const [digest, images] of missing) this.#reportMissing(digest, images);
  }

  #content() {
    return {
      what: this.#bundle.what,
      readManifest: (_repository: string, digest: Digest) => Promise.resolve(this.#manifests.get(digest)),
      statBlob: (digest: Digest) => Promise.resolve(this.#sizes.get(digest)),
      isElsewhere: (digest: Digest) => this.#omitted.has(digest),
    };
  }

  #note(error: unknown, image?: string): void {
    if (!(error instanceof CorruptError)) throw error;
    this.#problems.push({ message: error.message, ...(image === undefined ? {} : { images: [image] }) });
  }

  #reportMissing(digest: Digest, images: readonly string[]): void {
    this.#report(`Cannot find ${blobEntryName(digest)}: it is missing`, digest, images);
  }

  #report(message: string, digest: Digest, images: readonly string[]): void {
    if (this.#reported.has(digest)) return;
    this.#reported.add(digest);
    this.#problems.push({ message, digest, images });
  }
}

async function hash(blob: BundleBlob): Promise<void> {
  const verifier = new Verifier(blob.digest, blob.size);
  for (let piece = await blob.read(PIECE_BYTES); piece !== undefined; piece = await blob.read(PIECE_BYTES)) {
    verifier.update(piece);
  }
  verifier.finish();
}

function breaks(kubepkg: KubePkg, digest: Digest): string[] {
  const names = new Set(
    (kubepkg.status?.digests ?? []).filter((line) => line.digest === digest).map(({ name }) => name),
  );
  const images = imagesOf(kubepkg).filter((image) =>
    image.digest === digest || names.has(repositoryOf(image.reference))
  );
  return images.map(({ reference }) => formatReference(reference));
}
