import type { PackageRecords } from "../../install/package_records.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { formatRelease, packageIdOf } from "../../kubepkg/package_id.ts";
import { escapeControls } from "../../oci/escape_controls.ts";
import { absentIfBroken } from "../../install/records/record_file.ts";
import type { TrustVerdict } from "../../signature/trust_policy.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning, toOneLine } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openPackages, openRecords } from "../wiring/open_packages.ts";
import { ask } from "./ask_agent.ts";
import { PACKAGE_HISTORY } from "./packages_history.ts";
import { printPendingPackages } from "./packages_pending.ts";
import { PACKAGE_RECEIPT } from "./packages_receipt.ts";
import { REMOVE_PACKAGE } from "./packages_remove.ts";
import { ROLL_BACK_PACKAGE } from "./packages_rollback.ts";
import { PACKAGE_STATUS } from "./packages_status.ts";
import { REMOTE_FLAGS, runAt } from "./run_at.ts";
import { withoutManifests } from "./without_manifests.ts";

/** `crpe packages` and its subcommands */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: [
    "NAME is a package's name, or NAMESPACE/NAME where several namespaces have a package of that name. With --to, the",
    "packages are those of an agent: the list and receipts are open, everything else needs its token and its page. The data",
    "folder is then only the one that knows the agent's certificate. --json leaves the manifests out, which can hold Secrets:",
    "crpe manifests NAME prints them.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    ...REMOTE_FLAGS,
    { name: "pending", summary: "list the packages of which only some content was received" },
    FLAG.json,
  ],
  subcommands: [PACKAGE_HISTORY, PACKAGE_RECEIPT, PACKAGE_STATUS, ROLL_BACK_PACKAGE, REMOVE_PACKAGE],
  examples: [["crpe packages --data=/srv/crpe", "list the installed packages"]],
  run: runAt({ local: runPackages, remote: runRemotePackages }),
};

async function runPackages(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.isSet("pending")) {
    const settings = await readSettings(invocation, io, { canUseBucket: true });
    if (settings.store === undefined) await warnOfData(settings.data, io);
    const opened = await openPackages(settings, io, { warn: createWarning(io), isReading: true });
    return await printPendingPackages(opened, invocation, io);
  }
  const records = await openRecords(invocation, io);
  const { packages, problems } = await records.scan();
  const removing = await listRemoving(records, packages);
  const warn = createWarning(io);
  for (const { error } of problems) warn(error.message);
  if (invocation.isSet("json")) {
    const unreadable = problems.map(({ id: { namespace, name }, error: { message } }) => {
      return { kind: "KubePkg", metadata: { name, namespace }, error: toOneLine(message) };
    });
    const found = await Promise.all(packages.map(async (it) => {
      const trust = await readVerdict(records, it);
      return { ...withoutManifests(it), removing: removing.has(it) || undefined, trust };
    }));
    io.out(formatJson([...found, ...unreadable]));
    return 0;
  }
  const verdicts = await Promise.all(packages.map((it) => readVerdict(records, it)));
  const isSigned = verdicts.some((verdict) => verdict !== undefined);
  const rows = packages.map((it, i) => [
    it.metadata.name,
    it.spec.version,
    it.metadata.namespace,
    String(Object.keys(it.spec.images).length),
    String(Object.keys(it.spec.manifests).length),
    ...(isSigned ? [verdicts[i]?.state ?? "-"] : []),
    removing.has(it) ? "being removed" : "",
  ]);
  const unreadable = problems.map(({ id: { namespace, name } }) => {
    return [name, "(unreadable)", namespace, "?", "?", ...(isSigned ? ["?"] : []), ""];
  });
  const headings = ["PACKAGE", "VERSION", "NAMESPACE", "IMAGES", "MANIFESTS", ...(isSigned ? ["ORIGIN"] : [])];
  io.out(formatTable([...headings, removing.size === 0 ? "" : "STATE"], [...rows, ...unreadable]));
  const { pending } = await records.pending.scan();
  if (pending.length > 0 && !invocation.isSet("quiet")) {
    const names = pending.map(({ kubepkg }) => formatRelease(kubepkg)).join(", ");
    io.err(`pending, not installed: ${names} (crpe packages --pending)\n`);
  }
  return 0;
}

async function runRemotePackages(invocation: Invocation, io: Io): Promise<number> {
  return await ask(invocation, io, async ({ packages }) => {
    const list = await packages.list();
    if (invocation.isSet("json")) io.out(formatJson(list.document));
    else {
      const rows = list.packages.map(({ name, namespace, version = "(unreadable)", images }) => {
        return [name, version, namespace, String(images ?? "?")].map(escapeControls);
      });
      io.out(formatTable(["PACKAGE", "VERSION", "NAMESPACE", "IMAGES"], rows));
    }
    return 0;
  });
}

// A release without evidence was installed unsigned, or by an earlier crpe.
async function readVerdict(records: PackageRecords, kubepkg: KubePkg): Promise<TrustVerdict | undefined> {
  return (await records.trust.read(kubepkg).catch(absentIfBroken))?.verdict;
}

// Packages whose removal was handed over and is not confirmed yet.
async function listRemoving(records: PackageRecords, packages: readonly KubePkg[]): Promise<Set<KubePkg>> {
  const found = new Set<KubePkg>();
  for (const kubepkg of packages) {
    const handedOver = await records.handovers.read(packageIdOf(kubepkg)).catch(() => undefined);
    if (handedOver?.isRemoving) found.add(kubepkg);
  }
  return found;
}
