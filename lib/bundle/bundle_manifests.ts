import { verifyBytes } from "../content/verifier.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { MAX_MANIFEST_BYTES, parseManifest } from "../oci/manifest.ts";
import { rootDigest } from "./image_graph.ts";
import type { BundleBlob, BundleReader } from "./read_bundle.ts";

/** All manifests of a bundle are held in memory until it has been read. */
const MAX_MANIFESTS_BYTES = 64 * 1024 * 1024;

/** The manifests of a bundle, kept while it is read: what they name is known when all of it has passed. */
export class BundleManifests {
  readonly #what: string;
  readonly #isDeclared: boolean;
  readonly #types: ReadonlyMap<Digest, "manifest" | "blob">;
  readonly #kept = new Map<Digest, Uint8Array>();
  #bytes = 0;

  constructor(kubepkg: KubePkg, { what, declared }: BundleReader) {
    this.#what = what;
    this.#isDeclared = declared !== undefined;
    this.#types = new Map([
      ...(kubepkg.status?.digests ?? []).map(({ digest, type }) => [digest, type] as const),
      ...rootDigests(kubepkg).map((digest) => [digest, "manifest"] as const),
    ]);
  }

  /** Whether the package says that a digest is a manifest's. */
  isManifest(digest: Digest): boolean {
    return this.#types.get(digest) === "manifest";
  }

  /** Whether a blob may be a manifest, so that it has to be read with `take`. */
  mayBeManifest({ digest, size }: BundleBlob): boolean {
    return this.isManifest(digest) || (!this.#isDeclared && size <= MAX_MANIFEST_BYTES);
  }

  /**
   * Reads a blob whole, and keeps it if it is a manifest or is said to be one.
   *
   * @returns the verified bytes
   * @throws {DigestMismatchError} when they are not what the name says
   * @throws {CorruptError} when one or all are too large
   */
  async take(blob: BundleBlob): Promise<Uint8Array> {
    const bytes = (await blob.readAll(MAX_MANIFEST_BYTES)).slice();
    verifyBytes(bytes, blob.digest, blob.size);
    if (!this.isManifest(blob.digest) && !looksLikeManifest(bytes)) return bytes;
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_MANIFESTS_BYTES) {
      throw new CorruptError(`Cannot use ${this.#what}: its manifests have more than ${MAX_MANIFESTS_BYTES} bytes`);
    }
    this.#kept.set(blob.digest, bytes);
    return bytes;
  }

  /** The bytes of a manifest that was kept. */
  get(digest: Digest): Uint8Array | undefined {
    return this.#kept.get(digest);
  }

  /** All that were kept. */
  list(): Iterable<[Digest, Uint8Array]> {
    return this.#kept.entries();
  }
}

// Without those of images of which the package does not say it.
function rootDigests(kubepkg: KubePkg): Digest[] {
  return imagesOf(kubepkg).flatMap((image) => {
    try {
      return [rootDigest(kubepkg, image)];
    } catch (error) {
      if (error instanceof CorruptError) return [];
      throw error;
    }
  });
}

function looksLikeManifest(bytes: Uint8Array): boolean {
  try {
    parseManifest(bytes);
    return true;
  } catch (error) {
    if (error instanceof CorruptError) return false;
    throw error;
  }
}
