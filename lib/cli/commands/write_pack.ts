import { layOutBundle } from "../../bundle/bundle_layout.ts";
import { type PackSummary, writePrepared } from "../../bundle/pack_bundle.ts";
import type { Outbox } from "../../bundle/outbox.ts";
import { type PackedPart, packParts } from "../../bundle/pack_parts.ts";
import type { PreparedPack } from "../../bundle/prepare_pack.ts";
import type { WriteOptions } from "../../bundle/write_bundle.ts";
import { createSink, writeBundleFile, type WriteBundleOptions } from "../../bundle/write_bundle_file.ts";
import type { Io } from "../console/io.ts";
import { baseName, createProgress } from "../console/progress.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatImage } from "../console/image_text.ts";

/** Where the bundles are written, and how that is reported. */
export interface OutputOptions {
  readonly output: string | undefined;
  readonly outbox: Outbox | undefined;
  readonly maxBytes: number | undefined;
  readonly asJson: boolean;
}

/** Writes one bundle, with its progress. */
export async function writePack(
  pack: PreparedPack,
  { path, maxBytes, asJson, isQuiet, outbox }: OutputOptions & { readonly path: string; readonly isQuiet: boolean },
  io: Io,
): Promise<Packed> {
  const progress = createProgress(io, "pack", { quiet: isQuiet, item: path === "-" ? undefined : baseName(path) });
  try {
    return await write(pack, { path, maxBytes, outbox }, {
      hashOutput: asJson || outbox !== undefined,
      onProgress: ({ bytes, total }) => progress.update(bytes, total),
      onKept: (bytes) => {
        io.err(`crpe: the data packed so far (${formatSize(bytes)}) is kept; run the same command again to resume\n`);
      },
    });
  } finally {
    progress.finish();
  }
}

/** The result of a pack: its content and its files. */
type Packed = PackSummary & {
  /** The path of the bundle, if it is one file. */
  readonly file?: string;
  readonly parts?: readonly PackedPart[];
  readonly size: number;
  readonly resumed: number;
  readonly kubepkg: PreparedPack["kubepkg"];
};

async function write(
  pack: PreparedPack,
  { path, maxBytes, outbox }: Pick<OutputOptions, "maxBytes" | "outbox"> & { readonly path: string },
  options: Omit<WriteOptions, "check"> & WriteBundleOptions,
): Promise<Packed> {
  const file = { pack, layout: layOutBundle(pack) };
  if (path === "-") return await writePrepared(file, options, createSink(Deno.stdout, "standard output"));
  const { size } = file.layout;
  // What fits into one part needs no parts.
  if (maxBytes === undefined || size <= maxBytes) {
    if (outbox !== undefined) {
      return await outbox.add(path, (output) => writePrepared(file, options, output), { ...options, size });
    }
    const written = await writeBundleFile(path, (output) => writePrepared(file, options, output), { ...options, size });
    return { file: path, ...written };
  }
  const stem = path.replace(/\.(?:tgz|tar\.gz)$/, "");
  return await packParts(pack, { ...options, maxBytes, pathOf: (i, count) => `${stem}.part${i}of${count}.tgz` });
}

/** Prints what was packed. */
export function reportPack(
  { file, images, parts, size, resumed, blobs, deltas }: Packed,
  { hasLeftOut }: { hasLeftOut: boolean },
  io: Io,
): void {
  for (const { reference, digest, platforms, substitutes = [], referrers = 0 } of images) {
    const instead = substitutes.map(({ requested, taken }) => `${taken} for ${requested}`).join(", ");
    const attached = referrers === 0 ? "" : formatCount(referrers, "referrer");
    const line = [formatImage(reference, digest), platforms.join(","), instead && `(${instead})`, attached].filter(
      Boolean,
    )
      .join("  ");
    io.out(`${line}\n`);
  }
  for (const part of parts ?? []) io.out(`${part.file}  ${formatSize(part.size)}\n`);
  const what = file ?? formatCount(parts?.length ?? 0, "part");
  io.out(
    `${what}  ${formatSize(size)}, ${formatCount(blobs.count, "blob")} of ${formatCount(images.length, "image")}\n`,
  );
  if (resumed > 0) io.out(`resumed an interrupted pack: ${formatSize(resumed)} reused\n`);
  if (hasLeftOut) {
    if (deltas !== undefined) {
      const { count, size, layerSize } = deltas;
      io.out(`${formatCount(count, "layer")} as deltas: ${formatSize(size)} instead of ${formatSize(layerSize)}\n`);
    }
    io.out(`left out, already at the site: ${formatCount(blobs.omitted, "blob")}, ${formatSize(blobs.omittedSize)}\n`);
  }
}
