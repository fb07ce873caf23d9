import { Outbox } from "../../bundle/outbox.ts";
import { collectKeptDigests } from "../../install/image_pins.ts";
import { collectPackageDigests } from "../../install/package_digests.ts";
import { PackageRecords } from "../../install/package_records.ts";
import { collectGarbage, type GcReport } from "../../store/gc.ts";
import { removePartialBlobs } from "../../store/partial_files.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { endStale } from "./packages_pending.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe gc` */
export const COMMAND: CommandDefinition = {
  interrupted: "content that was not removed yet stays in use; run the same command again",
  details: [
    "Content stays if a tag, a manifest of a repository, or an installed package (or one that it replaced) refers to it.",
    "crpe gc can run while crpe registry serves; while an import, a pull or a pack is running, it fails without changes.",
    "In a bucket (--store), it can run at any time; what is younger than a day stays.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    {
      name: "partial",
      summary: "also remove partial files of downloads and of packs in the outbox that are not in progress",
    },
    { name: "untagged", summary: "also remove manifests that no tag and no package refers to" },
    FLAG.pendingTtl,
    { name: "dry-run", summary: "print what would be removed, remove nothing" },
    FLAG.json,
  ],
  examples: [
    ["crpe gc --dry-run", "show what would be removed"],
    ["crpe gc --untagged", "also remove what no tag refers to"],
  ],
  run: runGc,
};

async function runGc(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  if (settings.store !== undefined) return await runBucketGc(invocation, io, { ...settings, store: settings.store });
  const { data } = settings;
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
  for (const release of ended) io.out(`${dryRun ? "would end" : "ended"} the pending release ${release}\n`);
  const partials = `, ${formatCount(partial.length, "partial file")} (${formatSize(partialBytes)})`;
  io.out(`${formatReport(report, dryRun)}${invocation.isSet("partial") ? partials : ""}\n`);
  return 0;
}

async function runBucketGc(invocation: Invocation, io: Io, settings: Settings & { store: string }): Promise<number> {
  for (const name of ["partial", "pending-ttl"]) {
    if (!invocation.isSet(name) && invocation.flag(name) === undefined) continue;
    throw new UsageError(cannot(`use --${name} with a store on object storage`, "it needs a data folder"));
  }
  const { openObjectStore } = await import("../wiring/open_object_store.ts");
  const { openBucketRecords } = await import("../wiring/open_packages.ts");
  const { collectBucket } = await import("../../object_store/collect_bucket.ts");
  const warn = createWarning(io);
  const opened = await openObjectStore(settings.store, settings, { io, warn: () => {} });
  const { client, isShared, name } = opened;
  if (!isShared) {
    throw new CrpeError(
      cannot(
        `collect garbage in ${name}`,
        "it ignores the conditions of writes, so that nothing shows what others use",
      ),
    );
  }
  const dryRun = invocation.isSet("dry-run");
  const records = await openBucketRecords(settings.data, opened);
  const readKeep = async () => {
    await records.refresh({ waits: true });
    return await collectPackageDigests(records, { onProblem: ({ message }) => warn(message) });
  };
  const report = await collectBucket({ client, name, untagged: invocation.isSet("untagged"), dryRun, readKeep, warn });
  if (invocation.isSet("json")) io.out(formatJson({ dryRun, ...report }));
  else io.out(`${formatReport(report, dryRun)}\n`);
  return 0;
}

function formatReport({ blobs, bytes, manifests, links }: GcReport, dryRun: boolean): string {
  return `${dryRun ? "would remove" : "removed"} ${formatCount(blobs, "blob")} (${formatSize(bytes)}), ` +
    `${formatCount(manifests, "manifest")}, ${formatCount(links, "link")}`;
}
