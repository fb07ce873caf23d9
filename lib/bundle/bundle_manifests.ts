import { verifyBytes } from "../content/verifier.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, unlessCorrupt } from "../oci/error.ts";
import { MAX_MANIFEST_BYTES, parseManifest } from "../oci/manifest.ts";
import { rootDigest } from "./image_graph.ts";
import type { BundleBlob, BundleReader } from "./read_bundle.ts";

/** Limit for the manifests of a bundle in bytes: all are kept in memory until the bundle is read. */
const MAX_MANIFESTS_BYTES = 64 * 1024 * 1024;

/** Collects the manifests of a bundle while it is read. What they refer to is checked at the end. */
export class BundleManifests {
  readonly #what: string;
  readonly #isDeclared: boolean;
  readonly #types: ReadonlyMap<Digest, "manifest" | "blob">;
  readonly #kept = new Map<Digest, Uint8Array>();
  #bytes = 0;

  constructor(packages: readonly KubePkg[], { what, declared }: BundleReader) {
    this.#what = what;
    this.#isDeclared = declared !== undefined;
    this.#types = new Map([
      ...packages.flatMap(({ status }) => status?.digests ?? []).map(({ digest, type }) => [digest, type] as const),
      ...packages.flatMap(rootDigests).map((digest) => [digest, "manifest"] as const),
    ]);
  }

  /** Tests whether the package declares a digest as a manifest. */
  isManifest(digest: Digest): boolean {
    return this.#types.get(digest) === "manifest";
  }

  /** Tests whether a blob may be a manifest, and has to be read with `take`. */
  mayBeManifest({ digest, size }: BundleBlob): boolean {
    return this.isManifest(digest) || (!this.#isDeclared && size <= MAX_MANIFEST_BYTES);
  }

  /**
   * Reads a whole blob, and keeps it when it is, or is declared as, a manifest.
   *
   * @returns the verified bytes
   * @throws {DigestMismatchError} when the bytes do not have the digest in the entry's name
   * @throws {CorruptError} when this manifest, or all together, are too large
   */
  async take(blob: BundleBlob): Promise<Uint8Array> {
    const bytes = (await blob.readAll(MAX_MANIFEST_BYTES)).slice();
    verifyBytes(bytes, blob.digest, blob.size);
    if (!this.isManifest(blob.digest) && unlessCorrupt(() => parseManifest(bytes)) === undefined) return bytes;
    this.#bytes += bytes.length;
    if (this.#bytes > MAX_MANIFESTS_BYTES) {
      throw new CorruptError(cannot(`use ${this.#what}`, `its manifests have more than ${MAX_MANIFESTS_BYTES} bytes`));
    }
    this.#kept.set(blob.digest, bytes);
    return bytes;
  }

  /** Returns the bytes of a kept manifest. */
  get(digest: Digest): Uint8Array | undefined {
    return this.#kept.get(digest);
  }

  /** Lists all kept manifests. */
  list(): Iterable<[Digest, Uint8Array]> {
    return this.#kept.entries();
  }
}

// Images whose digest the package does not give are left out.
function rootDigests(kubepkg: KubePkg): Digest[] {
  return imagesOf(kubepkg).flatMap((image) => unlessCorrupt(() => rootDigest(kubepkg, image)) ?? []);
}
