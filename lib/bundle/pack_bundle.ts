import type { ContentSource } from "../content/source.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import { formatReference } from "../oci/reference.ts";
import { layOutBundle } from "./bundle_layout.ts";
import { platformsOf } from "./bundle_plan.ts";
import { type PackChoice, type PreparedPack, preparePack } from "./prepare_pack.ts";
import { type BundleOutput, writeBundle, type WriteOptions } from "./write_bundle.ts";

export type { BundleProgress } from "./write_bundle.ts";

/** How a bundle is packed. */
export interface PackOptions extends PackChoice, Omit<WriteOptions, "check"> {}

/** What was packed of a package. */
export interface PackSummary {
  readonly name: string;
  readonly version: string;
  readonly images: readonly {
    readonly reference: string;
    readonly digest: Digest;
    readonly platforms: readonly string[];
  }[];
  readonly platforms: readonly string[];
  /** How many blobs and manifests the file has, and how many were left out; sizes in bytes. */
  readonly blobs: {
    readonly count: number;
    readonly size: number;
    readonly omitted: number;
    readonly omittedSize: number;
  };
}

/** A bundle that was written. */
export interface PackResult extends PackSummary {
  /** Of the file, in bytes. */
  readonly size: number;
  /** Of the file, if it was asked for. */
  readonly tgzDigest?: Digest;
  /** How many bytes an interrupted pack had left, which were not packed again. */
  readonly resumed: number;
  /** The package as the bundle has it. */
  readonly kubepkg: KubePkg;
}

/**
 * Writes a package with all that it needs as one file. The same package, content and options give the same bytes. When it
 * fails because content is wrong, what was written is worthless.
 *
 * @throws {Error} when an image, a blob or a platform asked for by name is not there
 * @throws {DigestMismatchError} when the content is not what its digest says; it names the image
 */
export async function packBundle(
  kubepkg: KubePkg,
  source: ContentSource,
  options: PackOptions,
  output: BundleOutput,
): Promise<PackResult> {
  return await writePrepared(await preparePack(kubepkg, source, options), options, output);
}

/** As `packBundle`, of a package that is prepared. */
export async function writePrepared(
  pack: PreparedPack,
  options: Omit<WriteOptions, "check">,
  output: BundleOutput,
): Promise<PackResult> {
  const { check: _, ...written } = await writeBundle(layOutBundle(pack), pack, output, options);
  return { ...summarizePack(pack), ...written, kubepkg: pack.kubepkg };
}

/** Says what is packed. */
export function summarizePack({ kubepkg, images, platforms, plan }: PreparedPack): PackSummary {
  return {
    name: kubepkg.metadata.name,
    version: kubepkg.spec.version,
    images: images.map(({ reference, root }) => ({
      reference: formatReference(reference),
      digest: root.descriptor.digest,
      platforms: platformsOf(root),
    })),
    platforms,
    blobs: {
      count: plan.entries.length,
      size: plan.size,
      omitted: plan.omitted.length,
      omittedSize: plan.omittedSize,
    },
  };
}
