import { listBundleDigests } from "../../bundle/list_digests.ts";
import { type PackSummary, writePrepared } from "../../bundle/pack_bundle.ts";
import { type PackedPart, packParts } from "../../bundle/pack_parts.ts";
import { type PreparedPack, preparePack } from "../../bundle/prepare_pack.ts";
import { SplitTooSmallError } from "../../bundle/split_bundle.ts";
import type { WriteOptions } from "../../bundle/write_bundle.ts";
import {
  chooseBundlePath,
  createSink,
  writeBundleFile,
  type WriteBundleOptions,
} from "../../bundle/write_bundle_file.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS, readKubePkg } from "../../kubepkg/read_kubepkg.ts";
import type { Digest } from "../../oci/digest.ts";
import { INVENTORY_LIMITS, parseInventory } from "../../store/inventory.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import { redactText, textOf } from "../../upstream/transport/redact.ts";
import type { Invocation } from "../command_line/command.ts";
import { readPlatforms, readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import { Interruption } from "../console/interruption.ts";
import type { Io } from "../console/io.ts";
import { createProgress } from "../console/progress.ts";
import { formatSize, parseSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { UsageError } from "../console/usage_error.ts";
import { nameOfBundle, openBundle, openFile } from "../wiring/open_bundle.ts";
import { openStore } from "../wiring/open_store.ts";

/** `crpe pack` */
export async function runPack(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const output = invocation.flag("output");
  const asJson = invocation.isSet("json");
  const split = invocation.flag("split");
  const maxBytes = split === undefined ? undefined : parseSize(split, "--split");
  if (output === "-" && asJson) throw new UsageError("Cannot use --json with -o -: standard output carries the bundle");
  if (output === "-" && split !== undefined) {
    throw new UsageError("Cannot use --split with -o -: standard output is one file; name a file or a folder");
  }
  const have = await readExclusions(invocation, io);
  const kubepkg = await loadKubePkg(invocation.arguments[0]!, io);
  const fileName = `${kubepkg.metadata.name}@${kubepkg.spec.version}.tgz`;
  const path = output === "-" ? output : await chooseBundlePath(output ?? fileName, fileName);
  using _lease = settings.offline ? undefined : await takeWriteLease(settings.data);
  const { source } = await openStore(settings, io, { warn: createWarning(io) });
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
      onBegin: once(() => interruption.watch(() => reportKept(io))),
      onKept: (bytes) => reportKept(io, bytes),
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
  if (resumed > 0) io.out(`resumed an interrupted pack: ${formatSize(resumed)} reused\n`);
  if (hasLeftOut) {
    io.out(`left out, already at the site: ${blobs.omitted} blobs, ${formatSize(blobs.omittedSize)}\n`);
  }
}

function reportKept(io: Io, bytes?: number): void {
  const amount = bytes === undefined ? "" : ` (${formatSize(bytes)})`;
  io.err(`crpe: the data packed so far${amount} is kept; run the same command again to resume\n`);
}

function once(action: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) action();
    isDone = true;
  };
}

/**
 * Reads the digests of the content that the site already has, from `--have` and `--since`; `undefined` when neither is
 * given.
 *
 * @throws {UsageError} when standard input is used twice
 * @throws {CorruptError} when a file is not an inventory or a bundle
 */
export async function readExclusions(invocation: Invocation, io: Io): Promise<Set<Digest> | undefined> {
  const [files, bundles] = [invocation.flags("have"), invocation.flags("since")];
  if (files.length === 0 && bundles.length === 0) return undefined;
  if ([...invocation.arguments, ...files, ...bundles].filter((file) => file === "-").length > 1) {
    throw new UsageError("Cannot pack with - twice: standard input can be read once");
  }
  const have = new Set<Digest>();
  const add = (digests: Iterable<Digest>) => {
    for (const digest of digests) have.add(digest);
  };
  for (const file of files) {
    // The limit also bounds the read when a bundle is given by mistake.
    const [stream, name] = [await openFile(file, io), nameOfBundle(file)];
    add(parseInventory(await readBounded(stream, name, INVENTORY_LIMITS.maxBytes), name));
  }
  for (const bundle of bundles) add(await listBundleDigests(await openBundle(bundle, io), nameOfBundle(bundle)));
  return have;
}

/** Reads a KubePkg from a file, an `http(s)` URL, or standard input (`-`). @throws {Error} when it cannot be read */
export async function loadKubePkg(where: string, io: Io): Promise<KubePkg> {
  const limit = KUBEPKG_LIMITS.maxBytes;
  if (where === "-") return readKubePkg(await readBounded(io.stdin, "standard input", limit), "standard input");
  if (!/^https?:\/\//.test(where)) {
    using file = await Deno.open(where);
    return readKubePkg(await readBounded(file.readable, where, limit), where);
  }
  // A URL may contain a password, or a signature that grants access: errors show it redacted.
  const shown = redactText(where);
  let response: Response;
  try {
    response = await fetch(where);
  } catch (error) {
    throw new Error(`Cannot read ${shown}: ${redactText(textOf(error))}`);
  }
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new Error(`Cannot read ${shown}: it answered ${response.status} ${response.statusText}`.trimEnd());
  }
  return readKubePkg(await readBounded(response.body, shown, limit), shown);
}
