import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference } from "../oci/reference.ts";
import { platformsOf, type ResolvedImage } from "./bundle_plan.ts";
import { type BundleInfo, describeBundle } from "./inspect_bundle.ts";
import type { PreparedPack } from "./prepare_pack.ts";
import { type BundleOutput, type PackFile, writeBundle, type WriteOptions } from "./write_bundle.ts";

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
 * Writes a prepared pack, with all content that it needs, to one file. The same package, content and options give the same
 * bytes. After a `DigestMismatchError` the output must be discarded.
 *
 * @throws {Error} when a blob is missing
 * @throws {DigestMismatchError} when content does not match its digest; the message names the images
 */
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
