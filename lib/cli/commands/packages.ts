import { PackageRecords } from "../../install/package_records.ts";
import { listVersions } from "../../install/rollback_package.ts";
import type { KubePkg } from "../../kubepkg/kubepkg.ts";
import type { Invocation } from "../command_line/command.ts";
import { didYouMean } from "../command_line/parse_command_line.ts";
import { readSettings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { formatJson, formatTable } from "../console/table.ts";

/** `crpe packages` */
export async function runPackages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const packages = await records.list();
  const removing = await listRemoving(records, packages);
  if (invocation.isSet("json")) {
    io.out(formatJson(packages.map((it) => removing.has(it) ? { ...it, removing: true } : it)));
    return 0;
  }
  const rows = packages.map((it) => [
    it.metadata.name,
    it.spec.version,
    it.metadata.namespace,
    String(Object.keys(it.spec.images).length),
    String(Object.keys(it.spec.manifests).length),
    removing.has(it) ? "being removed" : "",
  ]);
  const headings = ["PACKAGE", "VERSION", "NAMESPACE", "IMAGES", "MANIFESTS"];
  io.out(formatTable([...headings, removing.size === 0 ? "" : "STATE"], rows));
  return 0;
}

// Packages whose removal was handed over and is not confirmed yet.
async function listRemoving(records: PackageRecords, packages: readonly KubePkg[]): Promise<Set<KubePkg>> {
  const found = new Set<KubePkg>();
  for (const kubepkg of packages) {
    const handedOver = await records.handovers.read(kubepkg.metadata.name).catch(() => undefined);
    if (handedOver?.isRemoving) found.add(kubepkg);
  }
  return found;
}

/** `crpe packages history` */
export async function runPackageHistory(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [name = ""] = invocation.arguments;
  const installed = await findInstalledPackage(records, name);
  const versions = listVersions(installed, await records.listHistory(name));
  if (invocation.isSet("json")) {
    io.out(formatJson(versions.map((kubepkg) => ({ installed: kubepkg === installed, kubepkg }))));
    return 0;
  }
  const rows = versions.map((kubepkg) => [
    kubepkg.spec.version,
    kubepkg === installed ? "yes" : "",
    String(Object.keys(kubepkg.spec.images).length),
    String(Object.keys(kubepkg.spec.manifests).length),
  ]);
  io.out(formatTable(["VERSION", "INSTALLED", "IMAGES", "MANIFESTS"], rows));
  return 0;
}

/** Finds an installed package by name. @throws {Error} when it is not installed; it suggests the nearest name */
export async function findInstalledPackage(records: PackageRecords, name: string): Promise<KubePkg> {
  const installed = await records.list();
  const found = installed.find(({ metadata }) => metadata.name === name);
  if (found !== undefined) return found;
  const names = installed.map(({ metadata }) => metadata.name);
  const nearest = names.length === 0 ? "no package is" : didYouMean(name, names);
  throw new Error(`Cannot use the package ${JSON.stringify(name)}: it is not installed; ${nearest}`);
}
