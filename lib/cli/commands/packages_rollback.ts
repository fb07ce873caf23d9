import { rollBackPackage, type RollbackResult } from "../../install/rollback_package.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import { formatHandedOver, formatManifestDiff } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { createHandover, readHandoverPlace } from "../wiring/open_handover.ts";
import { readSiteTrust } from "../wiring/read_keys.ts";
import { openPackages } from "../wiring/open_packages.ts";
import { openSharedHandover } from "../wiring/open_releases.ts";
import { UsageError } from "../console/usage_error.ts";
import { findInstalledPackage } from "./packages.ts";

/** `crpe packages rollback` */
export async function runRollback(invocation: Invocation, io: Io): Promise<number> {
  const { name, version } = readRollbackTarget(invocation);
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data } = settings;
  if (settings.store === undefined) await warnOfData(data, io);
  const warn = createWarning(io);
  const { store, records } = await openPackages(settings, io, { warn });
  const given = readHandoverPlace(invocation);
  const forceConflicts = invocation.isSet("force-conflicts");
  const id = await findInstalledPackage(records, name);
  using _lease = await takeWriteLease(data);
  const { log, by } = await openAudit(data, warn);
  const roll = async () =>
    await rollBackPackage(id, {
      store,
      records,
      to: version,
      node: Deno.hostname(),
      trust: await readSiteTrust(invocation, { records, config: settings.config }),
      force: invocation.isSet("force"),
      pruneData: invocation.isSet("prune-data"),
      openHandover: (recorded) => {
        const place = given ?? recorded;
        return place === undefined
          ? undefined
          : createHandover(place, { forceConflicts, shared: openSharedHandover(place, invocation, { io, warn }) });
      },
    });
  const result = await log.run({ action: "rollback", by, ...id, to: version }, roll, {
    describe: ({ from, to, isChanged }) => ({ result: isChanged ? "done" : "same", from, to }),
  });
  for (const warning of result.warnings ?? []) warn(warning);
  for (const note of [result.handedOver?.note, result.imageFile?.note]) if (note !== undefined) warn(note);
  if (invocation.isSet("json")) {
    const { isChanged, handedOver, imageFile, ...what } = result;
    io.out(formatJson({
      ...what,
      rolledBack: isChanged,
      handover: handedOver?.where,
      confirmed: handedOver?.isConfirmed,
      remaining: handedOver?.remaining,
      imageFile: imageFile?.note === undefined ? imageFile?.path : undefined,
    }));
  } else io.out(formatRollback(result));
  return 0;
}

/**
 * Reads what is rolled back, and to which version: `NAME@VERSION`, or `NAME` with `--to VERSION`.
 *
 * @throws {UsageError} when both name a version
 */
export function readRollbackTarget(invocation: Invocation): { name: string; version: string | undefined } {
  const [, name = "", named] = /^([^@]*)(?:@(.*))?$/.exec(invocation.arguments[0]!) ?? [];
  const flagged = isRemoteRollback(invocation) ? undefined : invocation.flag("to");
  if (named === undefined || flagged === undefined) return { name, version: named ?? flagged };
  throw new UsageError(`Cannot use --to ${flagged} with ${invocation.arguments[0]}: name the version once`);
}

/** Reports whether `--to` names an agent, as a URL or `HOST:PORT`. No version has such a colon. */
export function isRemoteRollback(invocation: Invocation): boolean {
  return /:\/\/|:[0-9]+$/.test(invocation.flag("to") ?? "");
}

/** Formats what a rollback has done. @param url the agent that did it; `undefined` for this machine */
export function formatRollback(
  { from, to, isChanged, handedOver, manifests, imageFile, ...id }: RollbackResult,
  url?: string,
): string {
  const name = formatPackageId(id);
  const where = url === undefined ? "" : ` at ${url}`;
  if (!isChanged) return `${name}@${to} is installed already${where}; nothing to do\n`;
  const lines = [`rolled ${name} back from ${from} to ${to}${where}`];
  if (manifests !== undefined) lines.push(...formatManifestDiff(manifests));
  if (imageFile?.note === undefined && imageFile !== undefined) lines.push(`  images written to ${imageFile.path}`);
  if (handedOver === undefined) {
    lines.push(
      url === undefined
        ? "  not handed over: no earlier hand-over is recorded; choose --manifests-dir or --kubectl"
        : "  not handed over: the agent was started without --manifests-dir and --kubectl",
    );
  } else lines.push(...formatHandedOver(handedOver));
  return lines.map((line) => `${line}\n`).join("");
}
