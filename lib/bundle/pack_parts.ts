import { removeIfPresent, restrictToOwner } from "../files/durable.ts";
import { ifPresent } from "../files/if_present.ts";
import { parentOf } from "../files/parent_of.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import type { Digest } from "../oci/digest.ts";
import type { BundleFile } from "./bundle_layout.ts";
import { EntryVerifier } from "./entry_verifier.ts";
import { type PackSummary, summarizePack } from "./pack_bundle.ts";
import { type PreparedPack, WrongContentError } from "./prepare_pack.ts";
import { checkWhole } from "./resume_pack.ts";
import { layOutParts } from "./split_bundle.ts";
import { type PackFile, writeBundle, type WriteOptions, type WrittenFile } from "./write_bundle.ts";
import { checkRoom, type PlannedFile } from "./check_room.ts";
import {
  createPartialFile,
  partialPathOf,
  sizeOf,
  writeBundleFile,
  type WriteBundleOptions,
} from "./write_bundle_file.ts";

/** Options for packing a bundle in parts. */
export interface PackPartsOptions extends Omit<WriteOptions, "check">, Omit<WriteBundleOptions, "size"> {
  /** Largest size of a part, in bytes. */
  readonly maxBytes: number;
  /** Returns the path of a part. */
  readonly pathOf: (number: number, count: number) => string;
}

/** A part that was written, or already existed. */
export interface PackedPart extends Omit<WrittenFile, "check"> {
  readonly file: string;
  readonly number: number;
}

/** A bundle that was written in parts. */
interface PackPartsResult extends PackSummary {
  readonly parts: readonly PackedPart[];
  /** Total size of all parts, in bytes. */
  readonly size: number;
  /** Bytes of an interrupted pack that were reused. */
  readonly resumed: number;
  readonly kubepkg: KubePkg;
}

/**
 * Packs a package into several files. A part that already exists with the same bytes is kept, and a partial one is
 * resumed.
 *
 * @throws {UsageError} when `maxBytes` is too small
 * @throws {NoSpaceError} when the folder has no room for the parts; nothing is written then
 * @throws {WrongContentError} as `writePrepared`; parts with a piece of the wrong content are removed
 */
export async function packParts(pack: PreparedPack, options: PackPartsOptions): Promise<PackPartsResult> {
  const layouts = layOutParts(pack, options.maxBytes);
  const paths = layouts.map((_, i) => options.pathOf(i + 1, layouts.length));
  const files = await Promise.all(layouts.map(async ({ size }, i): Promise<PlannedFile> => {
    const path = paths[i]!;
    return { path, size, present: await sizeOf(path) === size ? size : await sizeOf(partialPathOf(path)) };
  }));
  await checkRoom(parentOf(paths[0]!), files);
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
      written.push(await packPart({ layout: layouts[i]!, pack }, paths[i]!, { ...options, onProgress, check }));
    } catch (error) {
      const first = error instanceof WrongContentError
        ? layouts.findIndex((part) => hasContent(part, error.digest))
        : i;
      if (first < 0 || first >= i) throw error;
      // Earlier pieces of the wrong content are in committed parts, which must not be used.
      for (const path of paths.slice(first, i)) await removeIfPresent(path);
      const { digest } = error as WrongContentError;
      if (digest === "" || repackedOnce.has(digest)) throw error;
      // One of these parts may have been damaged before it was resumed. Pack them once more from the start.
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
  part: PackFile,
  path: string,
  options: WriteOptions & WriteBundleOptions & { readonly check: EntryVerifier },
): Promise<WrittenFile> {
  return await reusePart(part.layout, path, options) ??
    await writeBundleFile(path, (output) => writeBundle(part, output, options), options);
}

// Returns a part that already exists with the right bytes.
async function reusePart(
  layout: BundleFile,
  path: string,
  options: WriteOptions & { readonly check: EntryVerifier },
): Promise<WrittenFile | undefined> {
  const existing = await ifPresent(Deno.stat(path));
  if (!existing?.isFile || existing.size !== layout.size) return undefined;
  using file = await Deno.open(path);
  const found = await checkWhole(createPartialFile(file), layout, options);
  if (found === undefined) return undefined;
  await restrictToOwner(path, file);
  options.onProgress?.({ bytes: layout.size, entry: "" });
  const { hash, check } = found;
  return {
    size: layout.size,
    tgzDigest: hash && `sha256:${hash.digest("hex")}`,
    resumed: layout.size,
    check,
  };
}

function hasContent({ entries }: BundleFile, digest: Digest | ""): boolean {
  return entries.some(({ descriptor }) => descriptor.digest === digest);
}
