import { describeResult, type InstallResult, type PackageOutcome } from "../../install/install_result.ts";
import { formatParts } from "../../install/pending_packages.ts";
import { formatRelease } from "../../kubepkg/package_id.ts";
import { CrpeError } from "../../oci/error.ts";
import { describeError, paint } from "../console/describe_error.ts";
import { formatHandedOver, formatManifestDiff } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { formatVerdict } from "../console/verdict_text.ts";
import { formatTrust } from "../console/trust_text.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatImage } from "../console/image_text.ts";

/** Describes what an import did with one package, or why it did nothing, for `--json`. */
export function summarizeOutcome(file: string, outcome: PackageOutcome, dryRun: boolean): unknown {
  if (outcome.result !== undefined) return summarize(file, outcome.result, dryRun);
  const { name, namespace, version, error } = outcome;
  return { file, name, namespace, version, dryRun, imported: false, error: describeError(error) };
}

function summarize(file: string, result: InstallResult, dryRun: boolean): unknown {
  const { plan: { refusal }, imageFile } = result;
  return {
    file,
    ...describeResult(result, dryRun),
    handoverNote: undefined,
    imageFile: imageFile?.note === undefined ? imageFile?.path : undefined,
    error: refusal === undefined ? undefined : describeError(refusal),
  };
}

/** Formats what an import did with a package, in lines. */
export function formatSummary(result: InstallResult, isDryRun: boolean, io: Io): string {
  const { plan, images, blobs, isImported, part } = result;
  if (plan.verdict === "same" && !plan.isRepair && !isImported) {
    return `${formatRelease(result.kubepkg)} is installed already; nothing to do\n`;
  }
  const { refusal } = plan;
  const isRefused = isDryRun && refusal !== undefined;
  const lines = [isRefused ? formatRefusal(result, refusal, io) : formatOutcome(result, isDryRun)];
  if (part !== undefined && !isDryRun && !isImported) {
    const counts = `  ${formatCount(blobs.written, "blob")} written (${
      formatSize(blobs.bytesWritten)
    }), ${blobs.skipped} already in the store`;
    return [...lines, counts].map((line) => `${line}\n`).join("");
  }
  for (const { reference, digest, platforms } of images) {
    lines.push(`  ${formatImage(reference, digest)}${platforms.length === 0 ? "" : `  ${platforms.join(",")}`}`);
  }
  if (plan.referrers !== undefined) lines.push(`  ${formatCount(plan.referrers, "referrer")} of these images`);
  lines.push(...formatManifestDiff(plan.manifests), ...formatTrust(plan.trust));
  lines.push(
    isImported
      // What the bundle leaves out is in the store too.
      ? `  ${formatCount(blobs.written, "blob")} written (${
        formatSize(blobs.bytesWritten)
      }), ${plan.blobs.held} already in the store`
      : `  ${formatCount(plan.blobs.toWrite, "blob")} to write (${
        formatSize(plan.blobs.bytesToWrite)
      }), ${plan.blobs.held} already in the store`,
  );
  if (!isImported) lines.push(...formatNeeds(plan));
  if (isDryRun) lines.push("  nothing was written; the rest of the file was not read: crpe verify reads all of it");
  if (isImported) lines.push(...formatImageFile(result), ...formatHandover(result));
  return lines.map((line) => `${line}\n`).join("");
}

function formatImageFile({ imageFile }: InstallResult): string[] {
  return imageFile === undefined || imageFile.note !== undefined
    ? []
    : [`  images written to ${imageFile.path}; k3s loads them when it starts`];
}

function formatHandover({ handedOver, kubepkg }: InstallResult): string[] {
  if (handedOver !== undefined) return formatHandedOver(handedOver);
  if (Object.keys(kubepkg.spec.manifests).length === 0) return [];
  return ["  nothing was applied to a cluster: --manifests-dir or --kubectl hands the manifests over"];
}

function formatNeeds({ freeBytes, blobs: { missing, inOtherParts } }: InstallResult["plan"]): string[] {
  return [
    ...(inOtherParts === 0
      ? []
      : [`  ${formatCount(inOtherParts, "blob")} ${inOtherParts === 1 ? "is" : "are"} in other parts`]),
    ...(freeBytes === undefined ? [] : [`  ${formatSize(freeBytes)} free`]),
    ...missing.map(({ digest, size, images }) => {
      return `  missing: ${digest} (${formatSize(size)}), needed by ${images.join(", ")}`;
    }),
  ];
}

function formatRefusal({ kubepkg }: InstallResult, refusal: CrpeError, { isOutputColored }: Io): string {
  const { action = "", reason, clause, advice, overrule } = refusal;
  // An action that names the release only says again what is said here.
  const isOfRelease = /^(?:import|accept|hand over) /.test(action);
  const why = new CrpeError({ reason: isOfRelease ? reason : clause, advice }, { overrule });
  const verdict = paint("would refuse", "red", { isColored: isOutputColored });
  return `${verdict} ${formatRelease(kubepkg)}: ${describeError(why)}`;
}

function formatOutcome({ plan, part, isImported, kubepkg }: InstallResult, isDryRun: boolean): string {
  const { installedVersion, isRepair, verdict } = plan;
  const release = formatRelease(kubepkg);
  if (part !== undefined && !isImported) {
    const { number, count, missing } = part;
    const left = missing.filter((it) => !isDryRun || it !== number);
    const rest = left.length === 0
      ? "no other part is missing"
      : `${formatParts(left)} ${left.length === 1 ? "is" : "are"} missing`;
    const what = `part ${number} of ${count} of ${release}`;
    const aim = formatVerdict(verdict, { isRepair, isDryRun: true }).replace("would", "to");
    const outcome = isDryRun ? `would import ${what}, ${aim}` : `imported ${what}`;
    return `${outcome}; ${rest}`;
  }
  const from = isRepair || installedVersion === undefined ? "" : ` from ${installedVersion}`;
  return `${formatVerdict(verdict, { isRepair, isDryRun })} ${release}${from}`;
}
