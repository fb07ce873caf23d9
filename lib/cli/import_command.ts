import { installBundle, type InstallResult } from "../agent/install_bundle.ts";
import { PackageRecords } from "../agent/package_records.ts";
import { DiskStore } from "../content/disk_store.ts";
import { sweepStale } from "../content/data_folder.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import { createHandover, readHandoverPlace } from "./choose_handover.ts";
import { type Invocation, UsageError } from "./command.ts";
import { describeError } from "./describe_error.ts";
import { freeBytesOf } from "./free_bytes.ts";
import type { Io } from "./io.ts";
import { nameOfBundle, openBundle } from "./open_bundle.ts";
import { createProgress } from "./progress.ts";
import { formatSize } from "./quantity.ts";
import { readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";
import { createWarning } from "./warn.ts";

/** `crpe import` */
export async function runImport(invocation: Invocation, io: Io): Promise<number> {
  const files = invocation.arguments;
  if (files.filter((file) => file === "-").length > 1) {
    throw new UsageError("Cannot import - twice: standard input can be read once");
  }
  const { data } = await readSettings(invocation, io);
  const warn = createWarning(io);
  const store = new DiskStore(data, { warn });
  const records = new PackageRecords(data);
  const place = readHandoverPlace(invocation);
  const handover = place === undefined ? undefined : createHandover(place, { records });
  const isDryRun = invocation.isSet("dry-run");
  using _lease = isDryRun ? undefined : await takeWriteLease(data);
  if (!isDryRun) await sweepStale(data);
  const asJson = invocation.isSet("json");
  const summaries: unknown[] = [];
  // The cluster goes on with what it has.
  const warnOfOld = async (name: string) => {
    const before = await records.handovers.read(name);
    if (before === undefined) return;
    const flag = "kubectl" in before.place ? "--kubectl" : `--manifests-dir ${before.place.manifestsDir}`;
    warn(`${name}@${before.kubepkg.spec.version} was handed over, and this import was not; use ${flag} to do it`);
  };
  const importOne = async (where: string) => {
    const progress = createProgress(io, "import", { quiet: invocation.isSet("quiet") });
    const result = await installBundle(await openBundle(where, io), {
      what: nameOfBundle(where),
      store,
      records,
      handover,
      force: invocation.isSet("force"),
      dryRun: isDryRun,
      freeBytes: () => freeBytesOf(data),
      onProgress: ({ bytes, total }) => progress.update(bytes, total),
    }).finally(() => progress.finish());
    if (handover === undefined && result.isImported) await warnOfOld(result.plan.name);
    summaries.push(summarize(where, result, isDryRun));
    if (!asJson) io.out(formatSummary(result, isDryRun));
  };
  for (const where of files) {
    try {
      await importOne(where);
    } catch (error) {
      // What was imported before stays imported, and has to be told.
      summaries.push({ file: where, error: describeError(error) });
      if (asJson && files.length > 1) io.out(formatJson(summaries));
      throw error;
    }
  }
  if (asJson) io.out(formatJson(files.length === 1 ? summaries[0] : summaries));
  return 0;
}

function summarize(file: string, result: InstallResult, dryRun: boolean): unknown {
  const { plan, images, blobs, isImported, handover, left = [] } = result;
  const { blobs: planned, isRepair, ...what } = plan;
  return {
    file,
    ...what,
    dryRun,
    imported: isImported,
    repaired: isImported && isRepair,
    images,
    blobs: { ...planned, ...(isImported ? blobs : {}) },
    ...(handover === undefined ? {} : { handover, left }),
  };
}

function formatSummary(result: InstallResult, isDryRun: boolean): string {
  const { plan, images, blobs, isImported, handover, left = [] } = result;
  if (plan.verdict === "same" && !plan.isRepair && !isImported) {
    return `${plan.name}@${plan.version} is installed already; nothing to do\n`;
  }
  const lines = [formatOutcome(result, isDryRun)];
  for (const { reference, digest, platforms } of images) {
    lines.push(`  ${reference}@${digest}${platforms.length === 0 ? "" : `  ${platforms.join(",")}`}`);
  }
  const { added, changed, removed } = plan.manifests;
  for (const [sign, names] of [["+", added], ["~", changed], ["-", removed]] as const) {
    lines.push(...names.map((name) => `  ${sign} ${name}`));
  }
  lines.push(
    isImported
      ? `  ${blobs.written} blobs written (${formatSize(blobs.bytesWritten)}), ${blobs.skipped} were there`
      : `  ${plan.blobs.toWrite} blobs to write (${formatSize(plan.blobs.bytesToWrite)}), ${plan.blobs.held} are there`,
  );
  if (handover !== undefined) lines.push(`  handed over to ${handover}`);
  lines.push(...left.map((object) => `  left in the cluster: ${object}`));
  return lines.map((line) => `${line}\n`).join("");
}

function formatOutcome(
  { plan: { name, version, installedVersion, isRepair, verdict } }: InstallResult,
  isDryRun: boolean,
) {
  if (isRepair) return `${isDryRun ? "would repair" : "repaired"} ${name}@${version}`;
  const from = installedVersion === undefined ? "" : ` from ${installedVersion}`;
  return `${isDryRun ? "would " : ""}${verdict} ${name}@${version}${from}`;
}
