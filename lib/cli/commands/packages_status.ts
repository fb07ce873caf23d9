import { type PackageStatus, readPackageStatus, waitForPackage } from "../../install/package_status.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import type { Invocation } from "../command_line/command.ts";
import { toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { parseDuration } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { openRecords } from "../wiring/open_packages.ts";
import { openCluster } from "../wiring/open_handover.ts";
import { findInstalledPackage } from "./packages.ts";

/** `crpe packages status` */
export async function runPackageStatus(invocation: Invocation, io: Io): Promise<number> {
  const wait = parseDuration(invocation.flag("wait") ?? "0", "--wait");
  const records = await openRecords(invocation, io);
  const [name = ""] = invocation.arguments;
  const id = await findInstalledPackage(records, name);
  // It was found installed a moment ago.
  const installed = await records.read(id);
  if (installed === undefined) throw new Error(`Cannot read the status of ${formatPackageId(id)}: it is not installed`);
  const cluster = openCluster();
  const status = await waitForPackage(() => readPackageStatus(installed, { records, cluster }), {
    wait,
    now: () => performance.now(),
    sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
  });
  return printStatus(status, invocation, io);
}

/** Prints what the cluster has of a package. @returns the exit status */
export function printStatus(status: PackageStatus, invocation: Invocation, io: Io): number {
  if (invocation.isSet("json")) {
    const { isRemoving, isRetried: _, ...what } = status;
    io.out(formatJson({ ...what, removing: isRemoving }));
  } else io.out(formatStatus(status));
  return status.state === "applied" && !status.isRemoving ? 0 : 1;
}

function formatStatus(
  { version, handedOver, where, state, reason, isRemoving, missing = [], present = [], ...id }: PackageStatus,
): string {
  const name = formatPackageId(id);
  const what = `${name}@${handedOver ?? version}${isRemoving ? ", which is being removed," : ""}`;
  const lines = [
    `${what} ${state === "failed" ? "has failed" : `is ${state}`}${where === undefined ? "" : `: ${where}`}`,
  ];
  if (reason !== undefined) lines.push(`  ${toOneLine(reason)}`);
  if (isRemoving) lines.push(...present.map((object) => `  still in the cluster: ${object}`));
  lines.push(...missing.map((object) => `  missing in the cluster: ${object}`));
  if (missing.length > 0 && state === "applied") lines.push("  crpe import --force applies the package again");
  if (isRemoving) lines.push(`  crpe packages remove ${name} continues the removal`);
  if (handedOver !== undefined && handedOver !== version) {
    lines.push(`  ${version} is installed, and was not handed over`);
  }
  return lines.map((line) => `${line}\n`).join("");
}
