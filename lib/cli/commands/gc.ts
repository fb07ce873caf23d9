import { Outbox } from "../../bundle/outbox.ts";
import { collectKeptDigests } from "../../install/image_pins.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { collectGarbage } from "../../store/gc.ts";
import { removePartialBlobs } from "../../store/partial_files.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { endStale } from "./packages_pending.ts";

/** `crpe gc` */
export async function runGc(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  await warnOfData(data, io);
  const dryRun = invocation.isSet("dry-run");
  const records = new PackageRecords(data);
  const warn = createWarning(io);
  const ended = await endStale(records, invocation);
  const report = await collectGarbage(data, {
    readKeep: () => collectKeptDigests(data, { onProblem: ({ message }) => warn(message) }),
    untagged: invocation.isSet("untagged"),
    dryRun,
  });
  const partial: { readonly size: number }[] = invocation.isSet("partial")
    ? [...await removePartialBlobs(data, { dryRun }), ...await new Outbox(data).removePartials({ dryRun })]
    : [];
  const partialBytes = partial.reduce((sum, { size }) => sum + size, 0);
  if (invocation.isSet("json")) {
    io.out(formatJson({ dryRun, ...report, ended, partials: partial.length, partialBytes }));
    return 0;
  }
  const { blobs, bytes, manifests, links } = report;
  for (const release of ended) io.out(`${dryRun ? "would end" : "ended"} the pending release ${release}\n`);
  io.out(
    `${dryRun ? "would remove" : "removed"} ${formatCount(blobs, "blob")} (${formatSize(bytes)}), ` +
      `${formatCount(manifests, "manifest")}, ${formatCount(links, "link")}` +
      (invocation.isSet("partial")
        ? `, ${formatCount(partial.length, "partial file")} (${formatSize(partialBytes)})\n`
        : "\n"),
  );
  return 0;
}
