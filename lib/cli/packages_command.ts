import { PackageRecords } from "../agent/package_records.ts";
import type { Invocation } from "./command.ts";
import type { Io } from "./io.ts";
import { readSettings } from "./settings.ts";
import { formatJson, formatTable } from "./table.ts";

/** `crpe packages` */
export async function runPackages(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const packages = await new PackageRecords(data).list();
  if (invocation.isSet("json")) {
    io.out(formatJson(packages));
    return 0;
  }
  const rows = packages.map(({ metadata, spec }) => [
    metadata.name,
    spec.version,
    metadata.namespace,
    String(Object.keys(spec.images).length),
    String(Object.keys(spec.manifests).length),
  ]);
  io.out(formatTable(["PACKAGE", "VERSION", "NAMESPACE", "IMAGES", "MANIFESTS"], rows));
  return 0;
}
