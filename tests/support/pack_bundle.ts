import { layOutBundle } from "../../lib/bundle/bundle_layout.ts";
import { type PackResult, writePrepared } from "../../lib/bundle/pack_bundle.ts";
import { type PackChoice, preparePack } from "../../lib/bundle/prepare_pack.ts";
import type { BundleOutput, WriteOptions } from "../../lib/bundle/write_bundle.ts";
import type { ContentSource } from "../../lib/content/source.ts";
import type { KubePkg } from "../../lib/kubepkg/kubepkg.ts";

/** Options for packing a bundle. */
export interface PackOptions extends PackChoice, Omit<WriteOptions, "check"> {}

/** Options of `packBundle`. */
interface PackBundleOptions extends PackOptions {
  /** Receives the bytes of the file. */
  readonly output: BundleOutput;
}

/** Packs a package with all content that it needs into one file, as `crpe pack` does. */
export async function packBundle(
  kubepkg: KubePkg,
  source: ContentSource,
  { output, ...options }: PackBundleOptions,
): Promise<PackResult> {
  const pack = await preparePack(kubepkg, source, options);
  return await writePrepared({ pack, layout: layOutBundle(pack) }, options, output);
}
