import { listVersions } from "../../install/rollback_package.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import { isSamePackage, packageIdOf } from "../../kubepkg/package_id.ts";
import { escapeControls } from "../../oci/escape_controls.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatDate } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import { openRecords } from "../wiring/open_packages.ts";
import { askAbout } from "./ask_agent.ts";
import { findInstalledPackage } from "./find_package.ts";
import { REMOTE_FLAGS, runAt } from "./run_at.ts";
import { withoutManifests } from "./without_manifests.ts";

/** `crpe packages history` */
export const PACKAGE_HISTORY: Command = {
  name: "history",
  operands: "NAME",
  summary: "list the kept versions of a package, newest first",
  interrupted: "nothing was changed",
  flags: [...STORE_FLAGS, ...REMOTE_FLAGS, FLAG.json],
  examples: [["crpe packages history line4", "list the versions that a rollback can choose"]],
  run: runAt({ local: runPackageHistory, remote: runRemoteHistory }),
};

async function runPackageHistory(invocation: Invocation, io: Io): Promise<number> {
  const records = await openRecords(invocation, io);
  const id = await findInstalledPackage(records, invocation.arguments[0] ?? "");
  const installed = (await records.read(id))!;
  const { packages, problems, dates } = await records.scanHistory(id);
  const installedAt = await records.readDate(id);
  const warn = createWarning(io);
  for (const { error } of problems) warn(error.message);
  const versions = listVersions(installed, packages.filter((kubepkg) => isSamePackage(packageIdOf(kubepkg), id)));
  const dateOf = (kubepkg: KubePkg) => kubepkg === installed ? installedAt : dates.get(kubepkg);
  if (invocation.isSet("json")) {
    io.out(formatJson(versions.map((it) => {
      return { installed: it === installed, date: dateOf(it), kubepkg: withoutManifests(it) };
    })));
    return 0;
  }
  const rows = versions.map((kubepkg: KubePkg) => [
    kubepkg.spec.version,
    formatDate(dateOf(kubepkg)),
    kubepkg === installed ? "yes" : "-",
    String(Object.keys(kubepkg.spec.images).length),
    String(Object.keys(kubepkg.spec.manifests).length),
  ]);
  io.out(formatTable(["VERSION", "DATE (UTC)", "INSTALLED", "IMAGES", "MANIFESTS"], rows));
  return 0;
}

async function runRemoteHistory(invocation: Invocation, io: Io): Promise<number> {
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages }) => {
    const versions = await packages.listVersions(id);
    if (invocation.isSet("json")) {
      const { name, namespace } = id;
      const documents = versions.map((version, i) => {
        return { installed: i === 0, kubepkg: { metadata: { name, namespace }, spec: { version } } };
      });
      io.out(formatJson(documents));
    } else {
      const rows = versions.map((version, i) => [escapeControls(version), i === 0 ? "yes" : "-"]);
      io.out(formatTable(["VERSION", "INSTALLED"], rows));
    }
    return 0;
  });
}
