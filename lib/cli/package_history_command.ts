import { PackageRecords } from "../agent/package_records.ts";
import { listVersions } from "../agent/rollback_package.ts";
import type { Invocation } from "./command.ts";
import { findInstalledPackage } from "./installed_package.ts";
import type { Io } from "./io.ts";
import { readSettings } from "./settings.ts";
import { formatJson, formatTable } from "./table.ts";

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
