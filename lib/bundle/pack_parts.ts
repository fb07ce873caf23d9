import { removeIfPresent } from "../files/durable.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import type { BundleFile } from "./bundle_layout.ts";
import { EntryVerifier } from "./entry_verifier.ts";
import { type PackSummary, summarizePack } from "./pack_bundle.ts";
import { type PreparedPack, WrongContentError } from "./prepare_pack.ts";
import { checkWhole } from "./resume_pack.ts";
import { layOutParts } from "./split_bundle.ts";
import { writeBundle, type WriteOptions, type WrittenFile } from "./write_bundle.ts";
import { createPartialFile, writeBundleFile, type WriteBundleOptions } from "./write_bundle_file.ts";

/** How the parts of a bundle are packed. */
export interface PackPartsOptions extends Omit<WriteOptions, "check">, WriteBundleOptions {
  /** The most that a part's file may have, in bytes. */
  readonly maxBytes: number;
  /** Where a part goes. */
  readonly pathOf: (number: number, count: number) => string;
}

/** A part that was written, or was there already. */
export interface PackedPart extends Omit<WrittenFile, "check"> {
  readonly file: string;
  readonly number: number;
}

/** A bundle that was written in parts. */
export interface PackPartsResult extends PackSummary {
  readonly parts: readonly PackedPart[];
  /** Of all files, in bytes. */
  readonly size: number;
  /** How many bytes an interrupted pack had left, which were not packed again. */
  readonly resumed: number;
  readonly kubepkg: KubePkg;
}

/**
 * Writes a package as several files. A part that is there already, byte for byte, stays; one that is there in part is gone
 * on with.
 *
 * @throws {SplitTooSmallError}
 * @throws {WrongContentError} as `packBundle`; the parts that have something of the content are removed
 */
export async function packParts(pack: PreparedPack, options: PackPartsOptions): Promise<PackPartsResult> {
  const layouts = layOutParts(pack, options.maxBytes);
  const paths = layouts.map((_, i) => options.pathOf(i + 1, layouts.length));
  const total = layouts.reduce((sum, { size }) => sum + size, 0);
  const written: WrittenFile[] = [];
  const repackedOnce = new Set<Digest>();
  while (written.length < layouts.length) {
    const i = written.length;
    const before = written.reduce((sum, { size }) => sum + size, 0);
    const onProgress: WriteOptions["onProgress"] = ({ bytes, entry }) => {
      options.onProgress?.({ bytes: before + bytes, total, entry });
    };
    try {
      const check = written.at(-1)?.check ?? new EntryVerifier();
      written.push(await packPart(layouts[i]!, paths[i]!, pack, { ...options, onProgress, check }));
    } catch (error) {
      const first = error instanceof WrongContentError
        ? layouts.findIndex((part) => hasContent(part, error.digest))
        : i;
      if (first < 0 || first >= i) throw error;
      // The pieces before this one are in files that have their names; nobody may take them for good.
      for (const path of paths.slice(first, i)) await removeIfPresent(path);
      const { digest } = error as WrongContentError;
      if (digest === "" || repackedOnce.has(digest)) throw error;
      // One of them may have been damaged before it was gone on with: once more without what was there.
      repackedOnce.add(digest);
      written.splice(first);
    }
  }
  const parts = written.map(({ check: _, ...part }, i) => ({ file: paths[i]!, number: i + 1, ...part }));
  return {
    ...summarizePack(pack),
    parts,
    size: total,
    resumed: parts.reduce((sum, { resumed }) => sum + resumed, 0),
    kubepkg: pack.kubepkg,
  };
}

async function packPart(
  layout: BundleFile,
  path: string,
  pack: PreparedPack,
  options: WriteOptions & WriteBundleOptions & { readonly check: EntryVerifier },
): Promise<WrittenFile> {
  return await readPart(layout, path, options) ??
    await writeBundleFile(path, (output) => writeBundle(layout, pack, output, options), options);
}

async function readPart(
  layout: BundleFile,
  path: string,
  options: WriteOptions & { readonly check: EntryVerifier },
): Promise<WrittenFile | undefined> {
  const there = await Deno.stat(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  if (!there?.isFile || there.size !== layout.size) return undefined;
  using file = await Deno.open(path);
  const found = await checkWhole(createPartialFile(file), layout, options);
  if (found === undefined) return undefined;
  options.onProgress?.({ bytes: layout.size, entry: "" });
  const { hash, check } = found;
  return {
    size: layout.size,
    ...(hash === undefined ? {} : { tgzDigest: `sha256:${hash.digest("hex")}` as const }),
    resumed: layout.size,
    check,
  };
}

function hasContent({ entries }: BundleFile, digest: Digest | ""): boolean {
  return entries.some(({ descriptor }) => descriptor.digest === digest);
}
