import type { PackageRecords } from "../../install/package_records.ts";
import { formatParts, type PendingPackage } from "../../install/pending_packages.ts";
import { measurePending, type PendingProgress } from "../../install/pending_progress.ts";
import { absentIfBroken } from "../../install/records/record_file.ts";
import { endStalePending } from "../../install/stale_pending.ts";
import {
  formatFullPackageId,
  formatPackageId,
  formatRelease,
  isSelected,
  type PackageId,
  packageIdOf,
  parsePackageId,
} from "../../kubepkg/package_id.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readPendingTtl } from "../command_line/pending_ttl.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatDate, formatSize } from "../console/quantity.ts";
import { formatJson, formatTable } from "../console/table.ts";
import type { OpenedPackages } from "../wiring/open_packages.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

/** `crpe packages --pending`. What other machines have received of a package in a bucket, only they know. */
export async function printPendingPackages(
  { store, records: { pending: records } }: Pick<OpenedPackages, "store" | "records">,
  invocation: Invocation,
  io: Io,
): Promise<number> {
  const { pending, problems } = await records.scan();
  const warn = createWarning(io);
  for (const { message } of problems) warn(message);
  const found = await Promise.all(pending.map(async (it) => {
    const activity = await records.readActivity(it) ?? 0;
    return { pending: it, progress: await measurePending(it, store), since: new Date(activity).toISOString() };
  }));
  if (invocation.isSet("json")) {
    io.out(formatJson(found.map(({ pending: { kubepkg, part }, progress: { received, size, missingParts }, since }) => {
      const { name, namespace } = packageIdOf(kubepkg);
      const parts = part && { id: part.id, count: part.count, received: part.received, missing: missingParts };
      return { name, namespace, version: kubepkg.spec.version, received, size, parts, lastActivity: since };
    })));
    return 0;
  }
  const rows = found.map(({ pending: { kubepkg, part }, progress, since }) => [
    kubepkg.metadata.name,
    kubepkg.spec.version,
    kubepkg.metadata.namespace,
    formatReceived(progress),
    part === undefined ? "a push" : `${part.received.length} of ${part.count} parts`,
    formatDate(new Date(since)),
  ]);
  io.out(formatTable(["PACKAGE", "VERSION", "NAMESPACE", "RECEIVED", "FROM", "LAST ACTIVITY (UTC)"], rows));
  return 0;
}

function formatReceived({ received, size }: PendingProgress): string {
  return `${formatSize(received)} of ${formatSize(size)}`;
}

/**
 * Finds a pending package by `NAME` or `NAMESPACE/NAME`; also one whose record cannot be read.
 *
 * @throws {Error} when it is pending in several namespaces
 */
export async function findPendingPackage(records: PackageRecords, text: string): Promise<PackageId | undefined> {
  const selector = parsePackageId(text);
  const found: PackageId[] = [];
  for (const id of await records.listIds()) {
    if (!isSelected(id, selector)) continue;
    const isPending = await records.pending.read(id).then((it) => it !== undefined, (error) => {
      absentIfBroken(error);
      return true;
    });
    if (isPending) found.push(id);
  }
  if (found.length <= 1) return found[0];
  const names = found.map(formatFullPackageId).join(", ");
  throw new CrpeError(
    cannot(
      `use the package ${JSON.stringify(text)}`,
      `it is pending in ${found.length} namespaces`,
      `name one of ${names}`,
    ),
  );
}

/** `crpe packages remove --pending`: ends a pending package, and removes what was received of it. */
export async function endPending(
  id: PackageId,
  { records, store, data, invocation, io }: {
    readonly records: PackageRecords;
    readonly store: OpenedPackages["store"];
    readonly data: string;
    readonly invocation: Invocation;
    readonly io: Io;
  },
): Promise<number> {
  const dryRun = invocation.isSet("dry-run");
  using _lease = dryRun ? undefined : await takeWriteLease(data);
  await using _lock = dryRun ? undefined : await records.lock();
  const pending = await records.pending.read(id).catch(absentIfBroken);
  const progress = pending && await measurePending(pending, store);
  const version = pending?.kubepkg.spec.version;
  if (!dryRun) {
    const { log, by } = await openAudit(data, createWarning(io));
    const { namespace, name } = id;
    const entry = { action: "pending-removal", by, namespace, name, version };
    await log.run(entry, () => records.pending.remove(id), { isFreeing: true });
  }
  if (invocation.isSet("json")) {
    const { name, namespace } = id;
    io.out(formatJson({ name, namespace, version, pending: true, dryRun, removed: !dryRun }));
    return 0;
  }
  io.out(`${dryRun ? "would end" : "ended"} ${describePending(id, pending, progress)}\n`);
  if (!dryRun) io.out("  crpe gc frees the space of its blobs\n");
  return 0;
}

function describePending(id: PackageId, pending?: PendingPackage, progress?: PendingProgress): string {
  if (pending === undefined || progress === undefined) {
    return `the pending release of ${formatPackageId(id)}, whose record is damaged`;
  }
  const missing = progress.missingParts;
  const parts = missing === undefined || missing.length === 0 ? "" : `, ${formatParts(missing)} missing`;
  return `the pending release ${formatRelease(pending.kubepkg)}: ${formatReceived(progress)} received${parts}`;
}

/** Ends the pending packages that are older than `--pending-ttl`. @returns their releases */
export async function endStale(records: PackageRecords, invocation: Invocation): Promise<readonly string[]> {
  const ttl = readPendingTtl(invocation);
  const ended = await endStalePending(records, { ttl, dryRun: invocation.isSet("dry-run") });
  return ended.map(({ kubepkg }) => formatRelease(kubepkg));
}
