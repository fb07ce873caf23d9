import type { HandoverResult } from "../../install/handover/handover.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import { removePackage, type RemoveResult } from "../../install/remove_package.ts";
import { formatPackageId, isSelected, type PackageId, parsePackageId } from "../../kubepkg/package_id.ts";
import { textOf, textsOf } from "../../oci/json.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Command, Invocation } from "../command_line/command.ts";
import { FLAG, INSTALLED_HANDOVER_FLAGS, STORE_FLAGS } from "../command_line/flags.ts";
import { readSettings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import { formatManifestDiff } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { formatTime, parseDuration } from "../console/quantity.ts";
import { quoteForShell } from "../console/quote_for_shell.ts";
import { formatJson } from "../console/table.ts";
import { warnOfData } from "../wiring/check_data.ts";
import { openAudit } from "../wiring/open_audit.ts";
import { readHandoverPlace } from "../wiring/open_handover.ts";
import { openPackages } from "../wiring/open_packages.ts";
import { openHandover } from "../wiring/open_releases.ts";
import { endPending, findPendingPackage } from "./packages_pending.ts";
import { askAbout, escape, readDiff, readHandoverResult } from "./ask_agent.ts";
import { findInstalledPackage } from "./find_package.ts";
import { isRemote, REMOTE_FLAGS, runAt } from "./run_at.ts";
import { cannot, CrpeError, UsageError } from "../../oci/error.ts";

/** `crpe packages remove` */
export const REMOVE_PACKAGE: Command = {
  name: "remove",
  operands: "NAME",
  summary: "remove a package: its objects from the cluster, its tags, its record and its history",
  interrupted: "the removal may not be complete; run the same command again to finish it",
  details: [
    "k3s deletes the objects that disappear from a manifest file, but not those of a deleted file. The file is therefore",
    "emptied first. The package is removed, and the file deleted, when the objects are seen to be gone, which needs",
    "kubectl; until then both stay, and the command can be repeated. Data is kept, unless --prune-data is given.",
  ].join("\n"),
  flags: [
    ...STORE_FLAGS,
    ...REMOTE_FLAGS,
    {
      name: "wait",
      value: "DURATION",
      summary: "how long to wait until the objects are gone [20s; 5m with kubectl]",
    },
    ...INSTALLED_HANDOVER_FLAGS,
    { name: "dry-run", summary: "list what would be deleted and kept, change nothing" },
    FLAG.pruneData,
    FLAG.forceHandover,
    { name: "pending", summary: "end the pending release of the package; the installed one stays" },
    { name: "forget", summary: "drop the record, tags and history; leave the cluster alone" },
    FLAG.json,
  ],
  usesKubectl: (invocation) => !isRemote(invocation),
  examples: [["crpe packages remove line4 --dry-run", "list what would be deleted and kept"]],
  run: runAt({ local: runRemovePackage, remote: runRemoteRemove }),
};

const POLL_MILLISECONDS = 1000;
// k3s reads its folder every 15 seconds.
const WATCHER_WAIT = 20_000;
const NOT_HANDED_OVER = ": the package was not handed over";

async function runRemovePackage(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io, { canUseBucket: true });
  const { data } = settings;
  if (settings.store === undefined) await warnOfData(data, io);
  const warn = createWarning(io);
  const { store, records } = await openPackages(settings, io, { warn });
  const [named = ""] = invocation.arguments;
  const given = readHandoverPlace(invocation);
  const deleteTimeLimit = invocation.flag("wait") === undefined
    ? undefined
    : parseDuration(invocation.flag("wait")!, "--wait");
  const wait = deleteTimeLimit ?? WATCHER_WAIT;
  const [dryRun, forget] = [invocation.isSet("dry-run"), invocation.isSet("forget")];
  if (forget && given !== undefined) {
    throw new UsageError(cannot("use --forget with --manifests-dir or --kubectl", "it leaves the cluster alone"));
  }
  const waitForWatcher = async (isOver: () => Promise<boolean>) => {
    const end = performance.now() + wait;
    if (wait === 0 || await isOver()) return;
    if (!invocation.isSet("quiet")) {
      io.err(`waiting up to ${formatTime(wait)} for the cluster to notice that the manifests of ${named} are gone\n`);
    }
    for (let left = wait; left > 0; left = end - performance.now()) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MILLISECONDS, left)));
      if (await isOver()) return;
    }
  };
  const pending = await findPendingPackage(records, named);
  const isPendingOnly = pending !== undefined && !forget && await records.read(pending).catch(() => null) === undefined;
  if (invocation.isSet("pending") && pending === undefined) {
    throw new CrpeError(cannot(`end ${named}`, "it is not pending", "crpe packages --pending lists what is"));
  }
  if (pending !== undefined && (invocation.isSet("pending") || isPendingOnly)) {
    return await endPending(pending, { records, store, data, invocation, io });
  }
  const id = forget ? await findPackageToForget(records, named) : await findInstalledPackage(records, named);
  using _lease = dryRun ? undefined : await takeWriteLease(data);
  const remove = async () =>
    await removePackage(id, {
      records,
      dryRun,
      forget,
      force: invocation.isSet("force"),
      pruneData: invocation.isSet("prune-data"),
      openHandover: (recorded) =>
        openHandover(given ?? recorded, invocation, { io, warn, waitForWatcher, deleteTimeLimit }),
      store,
    });
  const { log, by } = await openAudit(data, warn);
  const result = dryRun ? await remove() : await log.run({ action: "removal", by, ...id, forget }, remove, {
    isFreeing: true,
    describe: ({ isRemoved, version }) => ({ result: isRemoved ? "done" : "pending", version }),
  });
  const note = result.handedOver?.note;
  if (note !== undefined) createWarning(io)(note);
  if (invocation.isSet("json")) {
    const { isRemoved, handedOver, imageFile, ...what } = result;
    const { where: handover, isConfirmed: confirmed, remaining, failure } = handedOver ?? {};
    const removal = { removed: isRemoved, handover, confirmed, remaining, failure, imageFile: imageFile?.path };
    io.out(formatJson({ ...what, dryRun, ...removal }));
  } else io.out(formatRemoval(result, { dryRun, forget, store: settings.store }));
  return dryRun || result.isRemoved || result.handedOver?.remaining === undefined ? 0 : 1;
}

async function runRemoteRemove(invocation: Invocation, io: Io): Promise<number> {
  if (invocation.flag("wait") !== undefined) {
    throw new UsageError(cannot("use --wait with --to", "the agent does not wait", "run the same command again"));
  }
  const dryRun = invocation.isSet("dry-run");
  return await askAbout(invocation.arguments[0]!, { invocation, io }, async (id, { packages, url }) => {
    const document = await packages.remove(id, { dryRun });
    const safe = escape(document);
    const isRemoved = safe.removed === true;
    const handedOver = readHandoverResult(safe);
    if (invocation.isSet("json")) io.out(formatJson(document));
    else {
      const result = {
        ...{ ...id, version: textOf(safe.version), isRemoved, handedOver, manifests: readDiff(safe.manifests) },
        untagged: textsOf(safe.untagged) ?? [],
        movedTags: textsOf(safe.movedTags) ?? [],
        leftFiles: textsOf(safe.leftFiles) ?? [],
      };
      io.out(formatRemoval(result, { dryRun, forget: false, url, store: textOf(safe.store) }));
    }
    return dryRun || isRemoved || handedOver?.remaining === undefined ? 0 : 1;
  });
}

// A package of which only a record is left that cannot be read, such as that of a pending release, is dropped too.
async function findPackageToForget(records: PackageRecords, named: string): Promise<PackageId> {
  const selector = parsePackageId(named);
  const [first, second] = (await records.listIds()).filter((id) => isSelected(id, selector));
  const isBroken = first !== undefined && second === undefined && (await records.listProblems(first)).length > 0;
  return isBroken ? first : await findInstalledPackage(records, named);
}

/** Formats what a removal has done. @param options.url the agent that did it; `undefined` for this machine */
function formatRemoval(
  result: RemoveResult,
  { dryRun, forget, url, store }: {
    readonly dryRun: boolean;
    readonly forget: boolean;
    readonly url?: string;
    /** The bucket, of which only the tags of its images are removed. */
    readonly store: string | undefined;
  },
): string {
  const { version, isRemoved, handedOver, manifests, untagged, movedTags, leftFiles, imageFile } = result;
  const what = `${formatPackageId(result)}${version === undefined ? "" : `@${version}`}`;
  const where = url === undefined ? "" : ` at ${url}`;
  const lines = [
    (dryRun ? `would remove ${what}` : isRemoved ? `removed ${what}` : `${what} is not removed yet`) + where,
  ];
  if (manifests !== undefined) lines.push(...formatManifestDiff(manifests));
  if (isRemoved && handedOver !== undefined) {
    lines.push(`  its objects are gone from the cluster (${handedOver.where})`);
  } else if (isRemoved || dryRun && manifests === undefined) {
    lines.push(`  the cluster ${dryRun ? "would not be" : "was not"} changed${forget ? "" : NOT_HANDED_OVER}`);
  } else if (handedOver !== undefined) lines.push(...formatUnconfirmed(handedOver));
  if (imageFile !== undefined && (dryRun || isRemoved)) {
    lines.push(imageFile.note === undefined ? `  - ${imageFile.path}` : `  = ${imageFile.note}`);
  }
  lines.push(...leftFiles.map((path) => `  ${path} stays: the cluster keeps applying it`));
  lines.push(...untagged.map((reference) => `  - ${reference}`), ...movedTags.map((text) => `  ~ ${text}`));
  if (isRemoved) {
    const gc = store === undefined ? "crpe gc" : `crpe gc --untagged --store=${quoteForShell(store)}`;
    lines.push(`  ${gc}${url === undefined ? "" : " on that machine"} frees the space of its images`);
  }
  return lines.map((line) => `${line}\n`).join("");
}

function formatUnconfirmed({ where, remaining, failure }: HandoverResult): string[] {
  const state = failure !== undefined
    ? `k3s fails to apply it: ${failure}`
    : remaining === undefined
    ? "nothing confirms it yet"
    : "it is not complete";
  return [
    ...(remaining ?? []).map((object) => `  still in the cluster: ${object}`),
    `  the removal is handed over to ${where}; ${state}`,
    ...(remaining !== undefined && where.startsWith("/") ? ["  what k3s does not delete, kubectl delete does"] : []),
    "  the package stays recorded until its objects are seen to be gone, which needs kubectl: run this again then, or",
    "  drop the record with --forget",
  ];
}
