import type { BundleSource } from "../../bytes/byte_reader.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import { installBundle, type InstallResult } from "../../install/install_bundle.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { formatParts } from "../../install/pending_packages.ts";
import { StalePartialError } from "../../install/write_bundle_blob.ts";
import { sweepStale } from "../../store/data_folder.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning, describeError } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { createProgress } from "../console/progress.ts";
import { formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { UsageError } from "../console/usage_error.ts";
import { nameOfBundle, openBundle } from "../wiring/open_bundle.ts";
import { createHandover, readHandoverPlace } from "../wiring/open_handover.ts";
import { formatHandedOver, formatManifestDiff } from "../console/handover_text.ts";

/** `crpe import` */
export async function runImport(invocation: Invocation, io: Io): Promise<number> {
  const files = invocation.arguments;
  if (files.filter((file) => file === "-").length > 1) {
    throw new UsageError("Cannot import - twice: standard input can be read once");
  }
  const { data } = await readSettings(invocation, io);
  const warn = createWarning(io);
  const store = new DiskStore(data, { warn, isHashing: invocation.isSet("force") });
  const records = new PackageRecords(data);
  const place = readHandoverPlace(invocation);
  const handover = place === undefined
    ? undefined
    : createHandover(place, { forceConflicts: invocation.isSet("force-conflicts") });
  const isDryRun = invocation.isSet("dry-run");
  using _lease = isDryRun ? undefined : await takeWriteLease(data);
  if (!isDryRun) await sweepStale(data);
  const asJson = invocation.isSet("json");
  const summaries: unknown[] = [];
  // Without a hand-over the cluster keeps running the version that was handed over last.
  const warnOfStaleHandover = async (name: string) => {
    const before = await records.handovers.read(name);
    if (before?.kubepkg === undefined) return;
    const flag = "kubectl" in before.place ? "--kubectl" : `--manifests-dir ${before.place.manifestsDir}`;
    warn(
      `the cluster still runs ${name}@${before.kubepkg.spec.version}: this import was not handed over; use ${flag} to do it`,
    );
  };
  const importOne = async (where: string) => {
    const progress = createProgress(io, "import", { quiet: invocation.isSet("quiet") });
    const source = await openBundle(where, io);
    const install = (from: BundleSource) =>
      installBundle(from, {
        what: nameOfBundle(where),
        store,
        records,
        handover,
        force: invocation.isSet("force"),
        pruneData: invocation.isSet("prune-data"),
        dryRun: isDryRun,
        freeBytes: () => freeBytesOf(data),
        onProgress: ({ bytes, total }) => progress.update(bytes, total),
      });
    const result = await install(source).catch(async (error) => {
      // A stale partial blob was discarded: a file is read again from the start, which a stream does not allow.
      if (!(error instanceof StalePartialError) || source instanceof ReadableStream) throw error;
      return await install(await openBundle(where, io));
    }).finally(() => progress.finish());
    if (handover === undefined && result.isImported) await warnOfStaleHandover(result.plan.name);
    if (result.handoverNote !== undefined) warn(result.handoverNote);
    summaries.push(summarize(where, result, isDryRun));
    if (!asJson) io.out(formatSummary(result, isDryRun));
    // A dry run prints everything it found out, and then fails as the import would.
    if (result.plan.refusal !== undefined) throw result.plan.refusal;
  };
  for (const [i, where] of files.entries()) {
    try {
      await importOne(where);
    } catch (error) {
      // Earlier files stay imported, and are reported.
      const isReported = summaries.length > i;
      if (!isReported) summaries.push({ file: where, error: describeError(error) });
      if (asJson && (files.length > 1 || isReported)) io.out(formatJson(files.length === 1 ? summaries[0] : summaries));
      throw error;
    }
  }
  if (asJson) io.out(formatJson(files.length === 1 ? summaries[0] : summaries));
  return 0;
}

function summarize(file: string, result: InstallResult, dryRun: boolean): unknown {
  const { plan, images, blobs, isImported, handover, isConfirmed, remaining, part } = result;
  const { blobs: planned, isRepair, refusal, ...what } = plan;
  return {
    file,
    ...what,
    dryRun,
    ...(refusal === undefined ? {} : { error: describeError(refusal) }),
    ...(part === undefined ? {} : { part }),
    imported: isImported,
    repaired: isImported && isRepair,
    images,
    blobs: { ...planned, ...(isImported || part !== undefined ? blobs : {}) },
    ...(handover === undefined ? {} : { handover, confirmed: isConfirmed, remaining }),
  };
}

function formatSummary(result: InstallResult, isDryRun: boolean): string {
  const { plan, images, blobs, isImported, part } = result;
  if (plan.verdict === "same" && !plan.isRepair && !isImported) {
    return `${plan.name}@${plan.version} is installed already; nothing to do\n`;
  }
  const lines = [formatOutcome(result, isDryRun)];
  if (part !== undefined && !isDryRun && !isImported) {
    const counts = `  ${blobs.written} blobs written (${
      formatSize(blobs.bytesWritten)
    }), ${blobs.skipped} already in the store`;
    return [...lines, counts].map((line) => `${line}\n`).join("");
  }
  for (const { reference, digest, platforms } of images) {
    lines.push(`  ${reference}@${digest}${platforms.length === 0 ? "" : `  ${platforms.join(",")}`}`);
  }
  lines.push(...formatManifestDiff(plan.manifests));
  lines.push(
    isImported
      ? `  ${blobs.written} blobs written (${formatSize(blobs.bytesWritten)}), ${blobs.skipped} already in the store`
      : `  ${plan.blobs.toWrite} blobs to write (${
        formatSize(plan.blobs.bytesToWrite)
      }), ${plan.blobs.held} already in the store`,
  );
  if (!isImported) lines.push(...formatNeeds(plan));
  if (isImported) lines.push(...formatHandover(result));
  return lines.map((line) => `${line}\n`).join("");
}

function formatHandover({ handover, isConfirmed, remaining, kubepkg }: InstallResult): string[] {
  if (handover !== undefined) {
    return formatHandedOver({ where: handover, isConfirmed: isConfirmed === true, remaining });
  }
  if (Object.keys(kubepkg.spec.manifests).length === 0) return [];
  return ["  nothing was applied to a cluster: --manifests-dir or --kubectl hands the manifests over"];
}

function formatNeeds({ freeBytes, blobs: { missing, inOtherParts } }: InstallResult["plan"]): string[] {
  return [
    ...(inOtherParts === 0 ? [] : [`  ${inOtherParts} blobs are in other parts`]),
    ...(freeBytes === undefined ? [] : [`  ${formatSize(freeBytes)} free`]),
    ...missing.map(({ digest, size, images }) => {
      return `  missing: ${digest} (${formatSize(size)}), needed by ${images.join(", ")}`;
    }),
  ];
}

function formatOutcome({ plan, part, isImported }: InstallResult, isDryRun: boolean): string {
  const { name, version, installedVersion, isRepair, verdict } = plan;
  if (part !== undefined && !isImported) {
    const { number, count, missing } = part;
    const left = missing.filter((it) => !isDryRun || it !== number);
    const rest = left.length === 0
      ? "no other part is missing"
      : `${formatParts(left)} ${left.length === 1 ? "is" : "are"} missing`;
    const what = `part ${number} of ${count} of ${name}@${version}`;
    const outcome = isDryRun ? `would import ${what}, to ${isRepair ? "repair" : verdict}` : `imported ${what}`;
    return `${outcome}; ${rest}`;
  }
  if (isRepair) return `${isDryRun ? "would repair" : "repaired"} ${name}@${version}`;
  const from = installedVersion === undefined ? "" : ` from ${installedVersion}`;
  return `${isDryRun ? "would " : ""}${verdict} ${name}@${version}${from}`;
}
