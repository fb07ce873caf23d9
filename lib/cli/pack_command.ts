import { type PackSummary, writePrepared } from "../bundle/pack_bundle.ts";
import { type PackedPart, packParts } from "../bundle/pack_parts.ts";
import { type PreparedPack, preparePack } from "../bundle/prepare_pack.ts";
import { SplitTooSmallError } from "../bundle/split_bundle.ts";
import type { WriteOptions } from "../bundle/write_bundle.ts";
import { chooseBundlePath, createSink, writeBundleFile, type WriteBundleOptions } from "../bundle/write_bundle_file.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import { type Invocation, UsageError } from "./command.ts";
import { Interruption } from "./interruption.ts";
import type { Io } from "./io.ts";
import { loadKubePkg } from "./load_kubepkg.ts";
import { openContent } from "./open_content.ts";
import { createProgress } from "./progress.ts";
import { formatSize, parseSize } from "./quantity.ts";
import { readHave } from "./read_have.ts";
import { readPlatforms, readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";
import { createWarning } from "./warn.ts";

/** `crpe pack` */
export async function runPack(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const output = invocation.flag("output");
  const asJson = invocation.isSet("json");
  const split = invocation.flag("split");
  const maxBytes = split === undefined ? undefined : parseSize(split, "--split");
  if (output === "-" && asJson) throw new UsageError("Cannot use --json with -o -: standard output takes the bundle");
  if (output === "-" && split !== undefined) {
    throw new UsageError("Cannot use --split with -o -: standard output is one file; name a file or a folder");
  }
  const have = await readHave(invocation, io);
  const kubepkg = await loadKubePkg(invocation.arguments[0]!, io);
  const fileName = `${kubepkg.metadata.name}@${kubepkg.spec.version}.tgz`;
  const path = output === "-" ? output : await chooseBundlePath(output ?? fileName, fileName);
  using _lease = settings.offline ? undefined : await takeWriteLease(settings.data);
  const { source } = await openContent(settings, io, { warn: createWarning(io) });
  const named = readPlatforms(invocation.flag("platform"), "--platform");
  const pack = await preparePack(kubepkg, source, {
    ...(named === undefined ? {} : { platforms: named }),
    ...(settings.platforms === undefined ? {} : { devicePlatforms: settings.platforms }),
    ...(have === undefined ? {} : { have }),
  });
  const progress = createProgress(io, "pack", { quiet: invocation.isSet("quiet") });
  using interruption = new Interruption(() => progress.finish());
  let result: Packed;
  try {
    result = await write(pack, { path, maxBytes }, {
      hashOutput: asJson,
      onProgress: ({ bytes, total }) => progress.update(bytes, total),
      onBegin: once(() => interruption.watch(() => tellKept(io))),
      onKept: (bytes) => tellKept(io, bytes),
    });
  } catch (error) {
    if (error instanceof SplitTooSmallError) throw new UsageError(error.message, { cause: error });
    throw error;
  } finally {
    progress.finish();
  }
  if (path === "-") return 0;
  if (asJson) {
    const { kubepkg: _, ...summary } = result;
    io.out(formatJson(summary));
  } else report(result, { hasLeftOut: have !== undefined }, io);
  return 0;
}

/** What was packed, and where it is. */
type Packed = PackSummary & {
  /** The bundle, where it is one file. */
  readonly file?: string;
  readonly parts?: readonly PackedPart[];
  readonly size: number;
  readonly resumed: number;
  readonly kubepkg: PreparedPack["kubepkg"];
};

async function write(
  pack: PreparedPack,
  { path, maxBytes }: { path: string; maxBytes: number | undefined },
  options: Omit<WriteOptions, "check"> & WriteBundleOptions,
): Promise<Packed> {
  if (path === "-") return await writePrepared(pack, options, createSink(Deno.stdout, "to standard output"));
  if (maxBytes === undefined) {
    const written = await writeBundleFile(path, (output) => writePrepared(pack, options, output), options);
    return { file: path, ...written };
  }
  const stem = path.replace(/\.(?:tgz|tar\.gz)$/, "");
  return await packParts(pack, { ...options, maxBytes, pathOf: (i, count) => `${stem}.part${i}of${count}.tgz` });
}

function report(
  { file, images, parts, size, resumed, blobs }: Packed,
  { hasLeftOut }: { hasLeftOut: boolean },
  io: Io,
): void {
  for (const { reference, digest, platforms } of images) {
    io.out(`${reference}@${digest}${platforms.length === 0 ? "" : `  ${platforms.join(",")}`}\n`);
  }
  for (const part of parts ?? []) io.out(`${part.file}  ${formatSize(part.size)}\n`);
  const what = file ?? `${parts?.length} parts`;
  io.out(`${what}  ${formatSize(size)}, ${blobs.count} blobs of ${images.length} images\n`);
  if (resumed > 0) io.out(`an earlier pack was gone on with: ${formatSize(resumed)} were there\n`);
  if (hasLeftOut) {
    io.out(`left out, since the site has them: ${blobs.omitted} blobs, ${formatSize(blobs.omittedSize)}\n`);
  }
}

function tellKept(io: Io, bytes?: number): void {
  const amount = bytes === undefined ? "" : ` (${formatSize(bytes)})`;
  io.err(`crpe: what is packed so far${amount} stays; the same command goes on from there\n`);
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}
