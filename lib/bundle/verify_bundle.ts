import type { BundleSource } from "../bytes/byte_reader.ts";
import { DigestMismatchError } from "../content/verifier.ts";
import { imagesOf } from "../kubepkg/images_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { referrersOf } from "../kubepkg/referrers_of.ts";
import type { Digest } from "../oci/digest.ts";
import { CorruptError } from "../oci/error.ts";
import { formatReference, repositoryOf } from "../oci/reference.ts";
import { BundleManifests } from "./bundle_manifests.ts";
import { blobEntryName, deltaEntryName } from "./entry_names.ts";
import { hashEntry } from "./hash_entry.ts";
import { readImageGraph } from "./image_graph.ts";
import { ReferrerGraphs } from "./package_graphs.ts";
import type { BundleProgress } from "./bundle_progress.ts";
import { type BundleBlob, type BundleReader, readBundle } from "./read_bundle.ts";

/** A problem found in a bundle. */
interface BundleProblem {
  readonly message: string;
  /** The wrong or missing content, if the problem concerns one blob or manifest. */
  readonly digest?: Digest;
  /** The images that the problem breaks. */
  readonly images?: readonly string[];
}

/** The result of verifying a bundle. */
interface BundleVerification {
  /** The packages of the bundle; one unless it holds a list. */
  readonly packages: readonly { readonly name: string; readonly version: string }[];
  /** Number and total size in bytes of the blobs and manifests that were read. */
  readonly blobs: { readonly count: number; readonly size: number };
  /** Empty when the bundle is intact. */
  readonly problems: readonly BundleProblem[];
}

/** Options for verifying a bundle. */
interface VerifyBundleOptions {
  /** Name of the file in errors. */
  readonly what?: string;
  readonly onProgress?: (progress: BundleProgress) => void;
}

/**
 * Verifies a bundle. Hashes all content, and continues after a problem as far as the file can be read. Then checks that
 * the bundle has everything that the images' manifests refer to, whatever `status.digests` lists.
 *
 * @throws {CorruptError} when the file is not a bundle
 */
export async function verifyBundle(
  source: BundleSource,
  { what, onProgress }: VerifyBundleOptions = {},
): Promise<BundleVerification> {
  const problems: BundleProblem[] = [];
  const bundle = await readBundle(source, { what, onProblem: ({ message }) => problems.push({ message }) });
  // Pieces of blobs are covered only by the checksum of the file, so all of it has to be read.
  bundle.readThrough();
  try {
    const { blobs, problems: found } = await new BundleCheck(bundle, problems).run(onProgress);
    const packages = bundle.packages.map(({ metadata: { name }, spec: { version } }) => ({ name, version }));
    return { packages, blobs, problems: found };
  } finally {
    await bundle.cancel();
  }
}

class BundleCheck {
  readonly #bundle: BundleReader;
  readonly #problems: BundleProblem[];
  readonly #manifests: BundleManifests;
  readonly #omitted: ReadonlySet<Digest>;
  readonly #sizes = new Map<Digest, number>();
  readonly #reported = new Set<Digest>();

  constructor(bundle: BundleReader, problems: BundleProblem[]) {
    this.#bundle = bundle;
    this.#problems = problems;
    const carried = new Set(
      bundle.part?.carries.filter(({ start }) => start === undefined).map(({ digest }) => digest),
    );
    this.#omitted = new Set([
      ...bundle.packages.flatMap(({ status }) => status?.omitted ?? []),
      // Content that other parts carry, wholly or in part.
      ...bundle.part === undefined ? [] : [...bundle.declared?.keys() ?? []].filter((digest) => {
        return !carried.has(bundle.deltas.get(digest)?.delta ?? digest);
      }),
    ]);
    this.#manifests = new BundleManifests(bundle.packages, bundle);
  }

  async run(onProgress: VerifyBundleOptions["onProgress"]): Promise<Pick<BundleVerification, "blobs" | "problems">> {
    const blobs = { count: 0, size: 0 };
    const total = this.#countDeclared();
    try {
      for (let blob = await this.#bundle.next(); blob !== undefined; blob = await this.#bundle.next()) {
        const report = (bytes: number) => {
          onProgress?.({ bytes: blobs.size + bytes, total, entry: blob.name });
        };
        await this.#check(blob, report);
        blobs.count++;
        blobs.size += blob.size;
        report(0);
      }
    } catch (error) {
      this.#record(error);
    }
    this.#findMissing();
    await this.#checkImages();
    return { blobs, problems: this.#problems };
  }

  // Pieces of blobs are not declared one by one.
  #countDeclared(): number | undefined {
    const { declared, deltas, part } = this.#bundle;
    if (declared === undefined || part !== undefined) return undefined;
    const carried = [...declared].filter(([digest]) => !this.#omitted.has(digest));
    return carried.reduce((sum, [digest, size]) => sum + (deltas.get(digest)?.size ?? size), 0);
  }

  async #check(blob: BundleBlob, onBytes: (bytes: number) => void): Promise<void> {
    const { digest, size } = blob;
    // A piece has no digest. The checksum of the file covers it.
    if (blob.start !== undefined) return;
    if (blob.delta === undefined) this.#sizes.set(digest, size);
    // Whether it rebuilds its layer can be seen only where its bases are.
    else this.#sizes.set(blob.delta.digest, this.#bundle.declared?.get(blob.delta.digest) ?? 0);
    try {
      if (this.#manifests.mayBeManifest(blob)) await this.#manifests.take(blob);
      else await hashEntry(blob, digest, onBytes);
    } catch (error) {
      if (!(error instanceof DigestMismatchError)) throw error;
      this.#report(error.message, digest, this.#imagesNeeding(blob.delta?.digest ?? digest));
    }
  }

  #findMissing(): void {
    const { declared } = this.#bundle;
    // A bundle that does not declare its content must at least have the manifests of its images.
    for (const digest of declared?.keys() ?? this.#images().map(({ image }) => image.digest)) {
      if (digest === undefined || this.#sizes.has(digest) || this.#omitted.has(digest)) continue;
      this.#reportMissing(digest, this.#imagesNeeding(digest));
    }
  }

  async #checkImages(): Promise<void> {
    const missing = new Map<Digest, string[]>();
    for (const { kubepkg, image } of this.#images()) {
      const missingOfImage = new Set<Digest>();
      try {
        await readImageGraph({ kubepkg, image }, this.#content(), missingOfImage);
      } catch (error) {
        this.#record(error, formatReference(image.reference));
      }
      for (const digest of missingOfImage) {
        missing.set(digest, [...missing.get(digest) ?? [], formatReference(image.reference)]);
      }
    }
    await this.#checkReferrers();
    for (const [digest, images] of missing) this.#reportMissing(digest, images);
  }

  async #checkReferrers(): Promise<void> {
    for (const kubepkg of this.#bundle.packages) {
      const graphs = new ReferrerGraphs(kubepkg, this.#content());
      for (const line of referrersOf(kubepkg)) {
        const missing = new Set<Digest>();
        try {
          await graphs.read(line, missing);
        } catch (error) {
          this.#record(error);
        }
        for (const digest of missing) this.#reportMissing(digest, this.#imagesNeeding(line.digest));
      }
    }
  }

  #images() {
    return this.#bundle.packages.flatMap((kubepkg) => imagesOf(kubepkg).map((image) => ({ kubepkg, image })));
  }

  #imagesNeeding(digest: Digest): string[] {
    return [...new Set(this.#bundle.packages.flatMap((kubepkg) => imagesNeeding(kubepkg, digest)))];
  }

  #content() {
    return {
      what: this.#bundle.what,
      readManifest: (_repository: string, digest: Digest) => Promise.resolve(this.#manifests.get(digest)),
      statBlob: (digest: Digest) => Promise.resolve(this.#sizes.get(digest)),
      isElsewhere: (digest: Digest) => this.#omitted.has(digest),
    };
  }

  #record(error: unknown, image?: string): void {
    if (!(error instanceof CorruptError)) throw error;
    this.#problems.push({ message: error.message, images: image === undefined ? undefined : [image] });
  }

  #reportMissing(digest: Digest, images: readonly string[]): void {
    const name = this.#bundle.deltas.has(digest) ? deltaEntryName(digest) : blobEntryName(digest);
    this.#report(`Cannot find ${name}: it is missing`, digest, images);
  }

  #report(message: string, digest: Digest, images: readonly string[]): void {
    if (this.#reported.has(digest)) return;
    this.#reported.add(digest);
    this.#problems.push({ message, digest, images });
  }
}

function imagesNeeding(kubepkg: KubePkg, digest: Digest): string[] {
  const names = new Set(
    (kubepkg.status?.digests ?? []).filter((line) => line.digest === digest).map(({ name }) => name),
  );
  const images = imagesOf(kubepkg).filter((image) =>
    image.digest === digest || names.has(repositoryOf(image.reference))
  );
  return images.map(({ reference }) => formatReference(reference));
}
