import { type BundleProgress, type PackResult, writePrepared } from "../bundle/pack_bundle.ts";
import { preparePack } from "../bundle/prepare_pack.ts";
import type { BundleOutput } from "../bundle/write_bundle.ts";
import { chooseBundlePath, createSink, writeBundleFile } from "../bundle/write_bundle_file.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { KUBEPKG_LIMITS, readKubePkg } from "../kubepkg/read_kubepkg.ts";
import { redactText, textOf } from "../upstream/redact.ts";
import { type Invocation, UsageError } from "./command.ts";
import { Interruption } from "./interruption.ts";
import type { Io } from "./io.ts";
import { openContent } from "./open_content.ts";
import { createProgress } from "./progress.ts";
import { formatSize } from "./quantity.ts";
import { readBounded } from "./read_bounded.ts";
import { readHave } from "./read_have.ts";
import { readPlatforms, readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";
import { createWarning } from "./warn.ts";

/** `crpe pack` */
export async function runPack(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const output = invocation.flag("output");
  const asJson = invocation.isSet("json");
  if (output === "-" && asJson) throw new UsageError("Cannot use --json with -o -: standard output takes the bundle");
  const have = await readHave(invocation, io);
  const kubepkg = await loadKubePkg(invocation.arguments[0]!, io);
  using _lease = settings.offline ? undefined : await takeWriteLease(settings.data);
  const { source } = await openContent(settings, io, { warn: createWarning(io) });
  const quiet = invocation.isSet("quiet");
  const { name } = kubepkg.metadata;
  const { version } = kubepkg.spec;
  const fileName = `${name}@${version}.tgz`;
  const path = output === "-" ? output : await chooseBundlePath(output ?? fileName, fileName);
  const progress = createProgress(io, "pack", { quiet });
  const named = readPlatforms(invocation.flag("platform"), "--platform");
  const options = {
    hashOutput: asJson,
    onProgress: ({ bytes, total }: BundleProgress) => progress.update(bytes, total),
  };
  const pack = await preparePack(kubepkg, source, {
    ...(named === undefined ? {} : { platforms: named }),
    ...(settings.platforms === undefined ? {} : { devicePlatforms: settings.platforms }),
    ...(have === undefined ? {} : { have }),
  });
  const write = (output: BundleOutput) => writePrepared(pack, options, output);
  let result: PackResult;
  using interruption = new Interruption(() => progress.finish());
  try {
    result = path === "-"
      ? await write(createSink(Deno.stdout, "to standard output"))
      : await writeBundleFile(path, write, {
        onBegin: () => interruption.watch(() => tellKept(io)),
        onKept: (bytes) => tellKept(io, bytes),
      });
  } finally {
    progress.finish();
  }
  if (path === "-") return 0;
  if (asJson) {
    const { kubepkg: _, ...summary } = result;
    io.out(formatJson({ file: path, ...summary }));
    return 0;
  }
  for (const { reference, digest, platforms } of result.images) {
    io.out(`${reference}@${digest}${platforms.length === 0 ? "" : `  ${platforms.join(",")}`}\n`);
  }
  io.out(`${path}  ${formatSize(result.size)}, ${result.blobs.count} blobs of ${result.images.length} images\n`);
  if (have !== undefined) {
    const { omitted, omittedSize } = result.blobs;
    io.out(`left out, since the site has them: ${omitted} blobs, ${formatSize(omittedSize)}\n`);
  }
  return 0;
}

function tellKept(io: Io, bytes?: number): void {
  const amount = bytes === undefined ? "" : ` (${formatSize(bytes)})`;
  io.err(`crpe: what is packed so far${amount} stays; the same command goes on from there\n`);
}

async function loadKubePkg(where: string, io: Io): Promise<KubePkg> {
  const limit = KUBEPKG_LIMITS.maxBytes;
  if (where === "-") return readKubePkg(await readBounded(io.stdin, "standard input", limit), "standard input");
  if (!/^https?:\/\//.test(where)) {
    using file = await Deno.open(where);
    return readKubePkg(await readBounded(file.readable, where, limit), where);
  }
  // A URL may carry a password, or a signature that is as good as one.
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
