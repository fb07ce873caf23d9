import { layOutBundle } from "../../bundle/bundle_layout.ts";
import { type PackSummary, writePrepared } from "../../bundle/pack_bundle.ts";
import { Outbox } from "../../bundle/outbox.ts";
import { type PackedPart, packParts } from "../../bundle/pack_parts.ts";
import { type PackChoice, type PreparedPack, preparePack, type ReferrerChoice } from "../../bundle/prepare_pack.ts";
import { SplitTooSmallError } from "../../bundle/split_bundle.ts";
import type { ImageKeys } from "../../bundle/verify_images.ts";
import type { WriteOptions } from "../../bundle/write_bundle.ts";
import {
  chooseBundlePath,
  createSink,
  writeBundleFile,
  type WriteBundleOptions,
} from "../../bundle/write_bundle_file.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { CorruptError } from "../../oci/error.ts";
import { createSigner } from "../../signature/signature_lines.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readPlatforms, readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { baseName, createProgress } from "../console/progress.ts";
import { formatCount, formatSize, parseSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { UsageError } from "../console/usage_error.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { checkInputs } from "../wiring/open_bundle.ts";
import { openAnyStore } from "../wiring/open_store.ts";
import { readImageKeys, readPrivateKeys } from "../wiring/read_keys.ts";
import { readExclusions } from "../wiring/read_exclusions.ts";
import { readK3sImages } from "../wiring/read_k3s_images.ts";
import { packDeltas, readEffort } from "./pack_deltas.ts";
import { readPackageFlags, readRelease } from "../wiring/read_release.ts";
import { makeImagePackage, type PreparedPackage, preparePackage, refuseWarnings } from "./prepare_package.ts";

/** `crpe pack` */
export async function runPack(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  if (settings.store !== undefined && invocation.flag("delta-effort") !== undefined) {
    throw new UsageError("Cannot use --delta-effort with a store on object storage: deltas need a data folder");
  }
  const options = readPackOptions(invocation, settings.data, io);
  const flags = readPackageFlags(invocation);
  const effort = readEffort(invocation);
  const site = await readExclusions(invocation, io);
  const k3s = await readK3sImages(invocation, settings, io);
  const where = invocation.arguments[0];
  const { packages, isPlain } = where === undefined
    ? { packages: [makeImagePackage(k3s, flags)], isPlain: false }
    : await readRelease(where, flags, io);
  if (packages.length > 1 && k3s !== undefined) {
    throw new UsageError(`Cannot use --k3s with ${packages.length} packages: the images would be in each of them`);
  }
  if (settings.store === undefined) await warnOfData(settings.data, io, { isReading: settings.offline });
  const paths = await choosePaths(packages, options);
  using _lease = settings.offline ? undefined : await takeWriteLease(settings.data);
  const { source, store } = await openAnyStore(settings, io, { warn: createWarning(io) });
  const named = readPlatforms(invocation.flag("platform"), "--platform");
  const keys = await readPrivateKeys(invocation.flags("sign-key"), invocation, createWarning(io));
  const choice: PackChoice = {
    ...(keys.length === 0 ? {} : { sign: createSigner(keys) }),
    platforms: named,
    devicePlatforms: settings.platforms,
    have: site?.have,
    ...readReferrerChoice(invocation, source, await readImageKeys(invocation)),
  };
  const prepared: PreparedPackage[] = [];
  for (const kubepkg of packages) {
    const checks = { addsImages: isPlain || invocation.isSet("add-images"), isStrict: invocation.isSet("strict"), k3s };
    prepared.push(await preparePackage(kubepkg, { ...checks, prepare: (it) => preparePack(it, source, choice) }, io));
  }
  refuseWarnings(prepared, invocation.isSet("strict"), io);
  const results: object[] = [];
  const isQuiet = invocation.isSet("quiet");
  const deltas = effort === undefined || !(store instanceof DiskStore) ? undefined : { store, site, effort, isQuiet };
  for (const [i, { pack: planned, warnings, added }] of prepared.entries()) {
    using packed = await packDeltas(planned, deltas, io);
    const { pack, whole } = packed;
    const result = await writePack(pack, { ...options, path: paths[i]!, isQuiet }, io);
    const { kubepkg: _, ...summary } = result;
    results.push({
      ...summary,
      ...(added.length === 0 ? {} : { addedImages: added }),
      ...(whole.length === 0 ? {} : { withoutDelta: whole }),
      warnings,
    });
    if (paths[i] !== "-" && !options.asJson) {
      report(result, { hasLeftOut: site !== undefined }, io);
      for (const { digest, reason } of whole) io.out(`whole layer ${digest}: ${reason}\n`);
    }
  }
  if (options.asJson) io.out(formatJson(results.length === 1 ? results[0] : results));
  return 0;
}

function readReferrerChoice(
  invocation: Invocation,
  catalog: ReferrerChoice["catalog"],
  keys: ImageKeys | undefined,
): Pick<PackChoice, "referrers"> {
  const isCarried = !invocation.isSet("no-referrers");
  return isCarried || keys !== undefined ? { referrers: { catalog, isCarried, keys } } : {};
}

interface OutputOptions {
  readonly output: string | undefined;
  readonly outbox: Outbox | undefined;
  readonly maxBytes: number | undefined;
  readonly asJson: boolean;
}

function readPackOptions(invocation: Invocation, data: string, io: Io): OutputOptions {
  const [output, asJson, split] = [invocation.flag("output"), invocation.isSet("json"), invocation.flag("split")];
  const maxBytes = split === undefined ? undefined : parseSize(split, "--split", 1);
  if (output === "-" && io.isOutputTerminal) {
    throw new UsageError("Cannot pack to a terminal: name the bundle with -o FILE, or pipe standard output");
  }
  if (output === "-" && asJson) throw new UsageError("Cannot use --json with -o -: standard output carries the bundle");
  if (output === "-" && split !== undefined) {
    throw new UsageError("Cannot use --split with -o -: standard output is one file; name a file or a folder");
  }
  const isKept = invocation.isSet("outbox");
  const other = ["output", "split"].find((flag) => invocation.flag(flag) !== undefined);
  if (isKept && other !== undefined) {
    throw new UsageError(`Cannot use --outbox with --${other}: the outbox keeps whole bundles, by their digests`);
  }
  const inputs = [...invocation.arguments, ...["have", "since"].flatMap((flag) => invocation.flags(flag))];
  checkInputs([...inputs, invocation.flag("k3s-images")], "pack with");
  return { output, maxBytes, asJson, outbox: isKept ? new Outbox(data) : undefined };
}

async function choosePaths(packages: readonly KubePkg[], { output, outbox }: OutputOptions): Promise<string[]> {
  const names = packages.map(({ metadata, spec }) => `${metadata.name}@${spec.version}.tgz`);
  const paths = await Promise.all(names.map(async (name) => {
    return output === "-" ? output : outbox !== undefined ? name : await chooseBundlePath(output ?? name, name);
  }));
  if (packages.length > 1 && paths.some((path) => path === output)) {
    throw new UsageError(
      `Cannot write ${packages.length} packages to ${output}: each is a bundle of its own; name a folder, such as out/`,
    );
  }
  const twice = paths.find((path, i) => paths.indexOf(path) !== i);
  if (twice !== undefined) {
    throw new CorruptError(`Cannot pack the list: two of its packages would be ${twice}; pack them one at a time`);
  }
  return paths;
}

/** Writes one bundle, with its progress. */
async function writePack(
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
  } catch (error) {
    if (error instanceof SplitTooSmallError) throw new UsageError(error.message, { cause: error });
    throw error;
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
  if (path === "-") return await writePrepared(pack, options, createSink(Deno.stdout, "to standard output"));
  const { size } = layOutBundle(pack);
  // What fits into one part needs no parts.
  if (maxBytes === undefined || size <= maxBytes) {
    if (outbox !== undefined) {
      return await outbox.add(path, (output) => writePrepared(pack, options, output), { ...options, size });
    }
    const written = await writeBundleFile(path, (output) => writePrepared(pack, options, output), { ...options, size });
    return { file: path, ...written };
  }
  const stem = path.replace(/\.(?:tgz|tar\.gz)$/, "");
  return await packParts(pack, { ...options, maxBytes, pathOf: (i, count) => `${stem}.part${i}of${count}.tgz` });
}

function report(
  { file, images, parts, size, resumed, blobs, deltas }: Packed,
  { hasLeftOut }: { hasLeftOut: boolean },
  io: Io,
): void {
  for (const { reference, digest, platforms, substitutes = [], referrers = 0 } of images) {
    const instead = substitutes.map(({ requested, taken }) => `${taken} for ${requested}`).join(", ");
    const attached = referrers === 0 ? "" : formatCount(referrers, "referrer");
    const line = [`${reference}@${digest}`, platforms.join(","), instead && `(${instead})`, attached].filter(Boolean)
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
