import type { BundleSource } from "../bytes/byte_reader.ts";
import { verifyBytes } from "../content/verifier.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { type ReferrerLine, referrersOf } from "../kubepkg/referrers_of.ts";
import type { Digest } from "../oci/digest.ts";
import { cannot, CorruptError, unlessCorrupt } from "../oci/error.ts";
import { type Descriptor, type Manifest, MAX_MANIFEST_BYTES, parseManifest } from "../oci/manifest.ts";
import { readBundle } from "./read_bundle.ts";

/** A referrer that a bundle declares, with its manifest. */
export interface BundleReferrer {
  readonly kubepkg: KubePkg;
  readonly line: ReferrerLine;
  readonly bytes: Uint8Array;
  readonly manifest: Manifest;
}

/** Options of `BundleEvidence.read`. */
export interface EvidenceOptions {
  /** Opens the file from its start. It is read more than once, because blobs stand before the manifests that explain them. */
  readonly open: () => Promise<BundleSource>;
  /** Name of the bundle in errors. */
  readonly what: string;
  /** Reads content that the file does not carry. */
  readonly readElsewhere?: ((content: Descriptor) => Promise<Uint8Array | undefined>) | undefined;
}

/** Largest size of all manifests of referrers, in bytes. They are kept in memory. */
const MAX_MANIFESTS = 64 * 1024 * 1024;

/** What a bundle carries besides its images: their signatures, attestations and SBOMs. */
export class BundleEvidence {
  readonly #options: EvidenceOptions;
  readonly packages: readonly KubePkg[];
  /** The bytes of `kubepkg.json`. */
  readonly document: Uint8Array;
  readonly referrers: readonly BundleReferrer[];

  private constructor(options: EvidenceOptions, found: Pick<BundleEvidence, "packages" | "document" | "referrers">) {
    this.#options = options;
    this.packages = found.packages;
    this.document = found.document;
    this.referrers = found.referrers;
  }

  /**
   * Reads the manifests of all referrers. Those that are missing, or are no manifests, are left out.
   *
   * @throws {CorruptError} when the file is not a bundle, or a manifest does not match its digest
   */
  static async read(options: EvidenceOptions): Promise<BundleEvidence> {
    const bundle = await readBundle(await options.open(), { what: options.what });
    await bundle.cancel();
    const { packages, document } = bundle;
    const lines = packages.flatMap((kubepkg) => referrersOf(kubepkg).map((line) => ({ kubepkg, line })));
    const sizes = new Map(lines.map(({ line: { digest, size } }) => [digest, size]));
    const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    if (total > MAX_MANIFESTS || [...sizes.values()].some((size) => size > MAX_MANIFEST_BYTES)) {
      throw new CorruptError(cannot(`use ${options.what}`, "the manifests of its referrers are too large"));
    }
    const manifests = new Map<Digest, { bytes: Uint8Array; manifest: Manifest }>();
    await readContents(options, describe(sizes), (digest, bytes) => {
      const manifest = unlessCorrupt(() => parseManifest(bytes));
      if (manifest !== undefined) manifests.set(digest, { bytes, manifest });
    });
    const referrers = lines.flatMap((it) => {
      const found = manifests.get(it.line.digest);
      return found === undefined ? [] : [{ ...it, ...found }];
    });
    return new BundleEvidence(options, { packages, document, referrers });
  }

  /**
   * Reads blobs of referrers, one at a time, in the order of the file.
   *
   * @param wanted those to read; the caller has limited their sizes
   * @throws {CorruptError} when a blob does not match its digest
   */
  async readBlobs(
    wanted: Iterable<Descriptor>,
    onBlob: (digest: Digest, bytes: Uint8Array) => Promise<void> | void,
  ): Promise<void> {
    await readContents(this.#options, wanted, onBlob);
  }
}

function describe(sizes: ReadonlyMap<Digest, number>): Descriptor[] {
  return [...sizes].map(([digest, size]) => ({ mediaType: "application/octet-stream", digest, size }));
}

async function readContents(
  { open, what, readElsewhere }: EvidenceOptions,
  wanted: Iterable<Descriptor>,
  onContent: (digest: Digest, bytes: Uint8Array) => Promise<void> | void,
): Promise<void> {
  const left = new Map([...wanted].map((it) => [it.digest, it]));
  if (left.size === 0) return;
  const bundle = await readBundle(await open(), { what });
  try {
    for (let blob = await bundle.next(); blob !== undefined && left.size > 0; blob = await bundle.next()) {
      const expected = blob.start === undefined && blob.delta === undefined ? left.get(blob.digest) : undefined;
      if (expected === undefined) continue;
      left.delete(blob.digest);
      if (blob.size !== expected.size) {
        throw new CorruptError(cannot(`use ${what}`, `${blob.digest} has ${blob.size} bytes, not ${expected.size}`));
      }
      const bytes = (await blob.readAll(expected.size)).slice();
      verifyBytes(bytes, blob.digest, blob.size);
      await onContent(blob.digest, bytes);
      if (left.size === 0) break;
    }
  } finally {
    await bundle.cancel();
  }
  for (const [digest, expected] of left) {
    const bytes = await readElsewhere?.(expected);
    if (bytes !== undefined) await onContent(digest, bytes);
  }
}
