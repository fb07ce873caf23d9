import type { ContentSource } from "../content/source.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference } from "../oci/reference.ts";
import { layOutBundle } from "./bundle_layout.ts";
import { platformsOf, type ResolvedImage } from "./bundle_plan.ts";
import { type BundleInfo, describeBundle } from "./inspect_bundle.ts";
import { type PackChoice, type PreparedPack, preparePack } from "./prepare_pack.ts";
import { type BundleOutput, type PackFile, writeBundle, type WriteOptions } from "./write_bundle.ts";

export type { BundleProgress } from "./write_bundle.ts";

/** Options for packing a bundle. */
export interface PackOptions extends PackChoice, Omit<WriteOptions, "check"> {}

/** Options of `packBundle`. */
interface PackBundleOptions extends PackOptions {
  /** Receives the bytes of the file. */
  readonly output: BundleOutput;
}

/** Summary of what was packed. */
export interface PackSummary {
  readonly name: string;
  readonly version: string;
  readonly images: readonly {
    readonly reference: string;
    readonly digest: Digest;
    readonly platforms: readonly string[];
    /** Requested platforms that the image does not have, and those that were taken instead. */
    readonly substitutes?: ResolvedImage["substitutes"];
    /** Number of manifests that are attached to it: signatures, attestations, SBOMs. Absent: none. */
    readonly referrers?: number;
  }[];
  readonly platforms: readonly string[];
  /** Set if some layers are carried as deltas; see `BundleInfo`. */
  readonly deltas?: BundleInfo["deltas"];
  /** Number of carried and omitted blobs and manifests; sizes in bytes. */
  readonly blobs: {
    readonly count: number;
    readonly size: number;
    readonly omitted: number;
    readonly omittedSize: number;
  };
}

/** A bundle that was written. */
export interface PackResult extends PackSummary {
  /** Size of the file, in bytes. */
  readonly size: number;
  /** Digest of the file, with `hashOutput`. */
  readonly tgzDigest?: Digest;
  /** Bytes of an interrupted pack that were reused. */
  readonly resumed: number;
  /** The package as written to the bundle. */
  readonly kubepkg: KubePkg;
}

/**
 * Packs a package with all content that it needs into one file. The same package, content and options give the same
 * bytes. After a `DigestMismatchError` the output must be discarded.
 *
 * @throws {Error} when an image, a blob or a platform requested by name is missing
 * @throws {DigestMismatchError} when content does not match its digest; the message names the images
 */
export async function packBundle(
  kubepkg: KubePkg,
  source: ContentSource,
  { output, ...options }: PackBundleOptions,
): Promise<PackResult> {
  const pack = await preparePack(kubepkg, source, options);
  return await writePrepared({ pack, layout: layOutBundle(pack) }, options, output);
}

/** As `packBundle`, for a pack that is laid out as one file. */
export async function writePrepared(
  file: PackFile,
  options: Omit<WriteOptions, "check">,
  output: BundleOutput,
): Promise<PackResult> {
  const { check: _, ...written } = await writeBundle(file, output, options);
  return { ...summarizePack(file.pack), ...written, kubepkg: file.pack.kubepkg };
}

/** Summarizes a prepared pack. */
export function summarizePack({ kubepkg, images, platforms, plan }: PreparedPack): PackSummary {
  const { deltas } = describeBundle(kubepkg);
  return {
    name: kubepkg.metadata.name,
    version: kubepkg.spec.version,
    images: images.map(({ reference, root, substitutes, referrers = [] }) => ({
      reference: formatReference(reference),
      digest: root.descriptor.digest,
      platforms: platformsOf(root),
      substitutes,
      ...(referrers.length === 0
        ? {}
        : { referrers: new Set(referrers.map(({ root }) => root.descriptor.digest)).size }),
    })),
    platforms,
    blobs: {
      count: plan.entries.length,
      size: plan.size,
      omitted: plan.omitted.length,
      omittedSize: plan.omittedSize,
    },
    deltas,
  };
}
