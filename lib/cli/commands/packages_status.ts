import {
  type PackageState,
  type PackageStatus,
  readPackageStatus,
  waitForPackage,
} from "../../install/package_status.ts";
import { formatPackageId, type PackageId } from "../../kubepkg/package_id.ts";
import { textOf, textsOf } from "../../oci/json.ts";
import { sleepByTimer } from "../../upstream/transport/retry.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { parseDuration } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { openRecords } from "../wiring/open_packages.ts";
import { openCluster } from "../wiring/open_handover.ts";
import { notAnAgent } from "../../agent/client/agent_error.ts";
import { askAbout, type Document, escape } from "./ask_agent.ts";
import { findInstalledPackage } from "./find_package.ts";
import { isRemote, REMOTE_FLAGS, runAt } from "./run_at.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** `crpe packages status` */
export const PACKAGE_STATUS: Command = {
  name: "status",
  operands: "NAME",
  summary: "show whether the cluster has applied a package: applied, failed, pending or unknown",
  interrupted: "nothing was changed",
  details: [
    "For a manifest folder this reads what k3s notes of the file (Addon objects and their events), with kubectl. The exit",
    "status is 0 if the package is applied, else 1.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    ...REMOTE_FLAGS,
    { name: "wait", value: "DURATION", summary: "wait so long until it is applied, or has failed [0]" },
    FLAG.json,
  ],
  usesKubectl: (invocation) => !isRemote(invocation),
  examples: [["crpe packages status line4 --wait=2m", "wait until the cluster has applied it"]],
  run: runAt({ local: runPackageStatus, remote: runRemoteStatus }),
};

const STATES: readonly PackageState[] = ["applied", "failed", "pending", "unknown", "not handed over"];

async function runPackageStatus(invocation: Invocation, io: Io): Promise<number> {
  const wait = parseDuration(invocation.flag("wait") ?? "0", "--wait");
  const records = await openRecords(invocation, io);
  const [name = ""] = invocation.arguments;
  const id = await findInstalledPackage(records, name);
  // It was found installed a moment ago.
  const installed = await records.read(id);
  if (installed === undefined) {
    throw new CrpeError(cannot(`read the status of ${formatPackageId(id)}`, "it is not installed"));
  }
  const cluster = openCluster();
  const status = await waitForPackage(() => readPackageStatus(installed, { records, cluster }), {
    wait,
    now: () => performance.now(),
    sleep: sleepByTimer,
  });
  return printStatus(status, invocation, io);
}

async function runRemoteStatus(invocation: Invocation, io: Io): Promise<number> {
  const wait = parseDuration(invocation.flag("wait") ?? "0", "--wait");
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages }) => {
    const status = await waitForPackage(async () => readStatus(id, await packages.readStatus(id)), {
      wait,
      now: () => performance.now(),
      sleep: sleepByTimer,
    });
    return printStatus(status, invocation, io);
  });
}

function readStatus(id: PackageId, document: Document): PackageStatus {
  const safe = escape(document);
  const version = textOf(safe.version);
  const state = STATES.find((one) => one === safe.state);
  if (safe.name !== id.name || safe.namespace !== id.namespace || version === undefined || state === undefined) {
    throw notAnAgent("an unknown status");
  }
  return {
    ...{ ...id, version, state },
    handedOver: textOf(safe.handedOver),
    where: textOf(safe.where),
    reason: textOf(safe.reason),
    isRemoving: safe.removing === true,
    isRetried: safe.retried === true,
    present: textsOf(safe.present),
    missing: textsOf(safe.missing),
  };
}

/** Prints what the cluster has of a package. @returns the exit status */
function printStatus(status: PackageStatus, invocation: Invocation, io: Io): number {
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
