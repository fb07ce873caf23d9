import { installBundle, type InstallResult } from "../agent/install_bundle.ts";
import { PackageRecords } from "../agent/package_records.ts";
import { DiskStore } from "../content/disk_store.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import type { Invocation } from "./command.ts";
import { freeBytesOf } from "./free_bytes.ts";
import type { Io } from "./io.ts";
import { openBundle } from "./open_bundle.ts";
import { createProgress } from "./progress.ts";
import { formatSize } from "./quantity.ts";
import { readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";
import { createWarning } from "./warn.ts";

/** `crpe import` */
export async function runImport(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const store = new DiskStore(data, { warn: createWarning(io) });
  const records = new PackageRecords(data);
  const isDryRun = invocation.isSet("dry-run");
  using _lease = isDryRun ? undefined : await takeWriteLease(data);
  const summaries: unknown[] = [];
  for (const where of invocation.arguments) {
    const progress = createProgress(io, "import", { quiet: invocation.isSet("quiet") });
    let result: InstallResult;
    try {
      result = await installBundle(await openBundle(where, io), {
        store,
        records,
        manifestsDir: invocation.flag("manifests-dir"),
        force: invocation.isSet("force"),
        dryRun: isDryRun,
        freeBytes: () => freeBytesOf(data),
        onProgress: ({ bytes, total }) => progress.update(bytes, total),
      });
    } finally {
      progress.finish();
    }
    const summary = summarize(where, result, isDryRun);
    summaries.push(summary);
    if (!invocation.isSet("json")) io.out(formatSummary(result, isDryRun));
  }
  if (invocation.isSet("json")) io.out(formatJson(summaries.length === 1 ? summaries[0] : summaries));
  return 0;
}

function summarize(file: string, result: InstallResult, dryRun: boolean): unknown {
  const { plan, images, blobs, isImported, handover } = result;
  const { blobs: planned, ...what } = plan;
  return {
    file,
    ...what,
    dryRun,
    imported: isImported,
    images,
    blobs: { ...planned, ...(isImported ? blobs : {}) },
    ...(handover === undefined ? {} : { handover }),
  };
}

function formatSummary({ plan, images, blobs, isImported, handover }: InstallResult, isDryRun: boolean): string {
  const release = `${plan.name}@${plan.version}`;
  if (plan.verdict === "same" && !isImported) return `${release} is installed already; nothing to do\n`;
  const from = plan.installedVersion === undefined ? "" : ` from ${plan.installedVersion}`;
  const lines = [`${isDryRun ? "would " : ""}${plan.verdict} ${release}${from}`];
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
  if (handover !== undefined) lines.push(`  handed over as ${handover}`);
  return lines.map((line) => `${line}\n`).join("");
}
