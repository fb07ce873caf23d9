import { collectPackageDigests } from "../agent/package_digests.ts";
import { PackageRecords } from "../agent/package_records.ts";
import { collectGarbage } from "../content/gc.ts";
import type { Invocation } from "./command.ts";
import type { Io } from "./io.ts";
import { formatSize } from "./quantity.ts";
import { readSettings } from "./settings.ts";
import { formatJson } from "./table.ts";

/** `crpe gc` */
export async function runGc(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const dryRun = invocation.isSet("dry-run");
  const report = await collectGarbage(data, {
    readKeep: () => collectPackageDigests(new PackageRecords(data)),
    untagged: invocation.isSet("untagged"),
    dryRun,
  });
  if (invocation.isSet("json")) {
    io.out(formatJson({ dryRun, ...report }));
    return 0;
  }
  const { blobs, bytes, manifests, links } = report;
  io.out(
    `${dryRun ? "would remove" : "removed"} ${count(blobs, "blob")} (${formatSize(bytes)}), ` +
      `${count(manifests, "manifest")}, ${count(links, "link")}\n`,
  );
  return 0;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}
