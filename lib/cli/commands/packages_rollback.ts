import { rollBackPackage, type RollbackResult } from "../../install/rollback_package.ts";
import { formatPackageId } from "../../kubepkg/package_id.ts";
import { textsOf } from "../../oci/json.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG, INSTALLED_HANDOVER_FLAGS, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import { formatHandedOver, formatManifestDiff } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { readHandoverPlace } from "../wiring/open_handover.ts";
import { readSiteTrust } from "../wiring/read_keys.ts";
import { openPackages } from "../wiring/open_packages.ts";
import { openHandover } from "../wiring/open_releases.ts";
import { askAbout, escape, readDiff, readHandoverResult } from "./ask_agent.ts";
import { findInstalledPackage } from "./find_package.ts";
import { REMOTE_FLAGS, runAt } from "./run_at.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** `crpe packages rollback` */
export const ROLL_BACK_PACKAGE: Command = {
  name: "rollback",
  operands: "NAME[@VERSION]",
  summary: "reinstall the previously installed version",
  interrupted: "the rollback may not be complete; run the same command again to finish it",
  details: [
    "Nothing is changed unless all content of that version is in the store. The replaced version is kept, so that a second",
    "rollback undoes the first. The manifests are handed over to the same place as in the last import. VERSION is one of the",
    "kept versions, by default the previous one.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    {
      name: "to",
      value: "URL|VERSION",
      summary: "the package of the agent at URL, which has a scheme or a port; or the VERSION",
    },
    ...REMOTE_FLAGS.slice(1),
    { ...FLAG.trustedKeys, summary: "roll back only to a version that these public keys, or a policy, trust" },
    { ...FLAG.firstUse, summary: "roll back only to a version signed with the recorded keys of the package" },
    ...INSTALLED_HANDOVER_FLAGS,
    FLAG.pruneData,
    FLAG.forceHandover,
    FLAG.json,
  ],
  usesKubectl: () => true,
  examples: [
    ["crpe packages rollback line4@1.0.0", "install an earlier version again"],
    ["crpe packages rollback line4 --to=https://node1:36060 --token-file=node1.token", "do it on an agent"],
  ],
  run: runAt({ local: runRollback, remote: runRemoteRollback, isAgent: isRemoteRollback }),
};

async function runRollback(invocation: Invocation, io: Io): Promise<number> {
  const { name, version } = readRollbackTarget(invocation);
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data } = settings;
  if (settings.store === undefined) await warnOfData(data, io);
  const warn = createWarning(io);
  const { store, records } = await openPackages(settings, io, { warn });
  const given = readHandoverPlace(invocation);
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
      openHandover: (recorded) => openHandover(given ?? recorded, invocation, { io, warn }),
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

async function runRemoteRollback(invocation: Invocation, io: Io): Promise<number> {
  const { name, version } = readRollbackTarget(invocation);
  return await askAbout(name, { invocation, io }, async (id, { packages, url }) => {
    const document = await packages.rollBack(id, version);
    if (invocation.isSet("json")) io.out(formatJson(document));
    else {
      const safe = escape(document);
      for (const warning of textsOf(safe.warnings) ?? []) createWarning(io)(warning);
      const result = {
        ...{ ...id, from: `${safe.from}`, to: `${safe.to}`, isChanged: safe.rolledBack === true },
        handedOver: readHandoverResult(safe),
        manifests: readDiff(safe.manifests),
      };
      io.out(formatRollback(result, url));
    }
    return 0;
  });
}

/**
 * Reads what is rolled back, and to which version: `NAME@VERSION`, or `NAME` with `--to VERSION`.
 *
 * @throws {UsageError} when both name a version
 */
function readRollbackTarget(invocation: Invocation): { name: string; version: string | undefined } {
  const [, name = "", named] = /^([^@]*)(?:@(.*))?$/.exec(invocation.arguments[0]!) ?? [];
  const flagged = isRemoteRollback(invocation) ? undefined : invocation.flag("to");
  if (named === undefined || flagged === undefined) return { name, version: named ?? flagged };
  throw new UsageError(cannot(`use --to ${flagged} with ${invocation.arguments[0]}`, "name the version once"));
}

/** Reports whether `--to` names an agent, as a URL or `HOST:PORT`. No version has such a colon. */
function isRemoteRollback(invocation: Invocation): boolean {
  return /:\/\/|:[0-9]+$/.test(invocation.flag("to") ?? "");
}

/** Formats what a rollback has done. @param url the agent that did it; `undefined` for this machine */
function formatRollback(
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
