import { collectPackageDigests } from "../../install/package_digests.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { collectGarbage } from "../../store/gc.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { endStale } from "./packages_pending.ts";

/** `crpe gc` */
export async function runGc(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const dryRun = invocation.isSet("dry-run");
  const records = new PackageRecords(data);
  const warn = createWarning(io);
  const ended = await endStale(records, invocation);
  const report = await collectGarbage(data, {
    readKeep: () => collectPackageDigests(records, { onProblem: ({ message }) => warn(message) }),
    untagged: invocation.isSet("untagged"),
    dryRun,
  });
  if (invocation.isSet("json")) {
    io.out(formatJson({ dryRun, ...report, ended }));
    return 0;
  }
  const { blobs, bytes, manifests, links } = report;
  for (const release of ended) io.out(`${dryRun ? "would end" : "ended"} the pending release ${release}\n`);
  io.out(
    `${dryRun ? "would remove" : "removed"} ${formatCount(blobs, "blob")} (${formatSize(bytes)}), ` +
      `${formatCount(manifests, "manifest")}, ${formatCount(links, "link")}\n`,
  );
  return 0;
}
