import type { PackageRecords } from "../agent/package_records.ts";
import type { KubePkg } from "../kubepkg/kubepkg.ts";
import { didYouMean } from "./parse_command_line.ts";

/** The installed package of a name. @throws {Error} that names the nearest */
export async function findInstalledPackage(records: PackageRecords, name: string): Promise<KubePkg> {
  const installed = await records.list();
  const found = installed.find(({ metadata }) => metadata.name === name);
  if (found !== undefined) return found;
  const names = installed.map(({ metadata }) => metadata.name);
  const nearest = names.length === 0 ? "none is" : didYouMean(name, names);
  throw new Error(`Cannot use the package ${JSON.stringify(name)}: it is not installed; ${nearest}`);
}
