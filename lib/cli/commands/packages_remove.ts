import { PackageRecords } from "../../install/package_records.ts";
import { removePackage, type RemoveResult } from "../../install/remove_package.ts";
import { formatPackageId, type PackageId, parsePackageId } from "../../kubepkg/package_id.ts";
import { forgetImages } from "../../store/forget_images.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings } from "../command_line/settings.ts";
import { formatManifestDiff } from "../console/handover_text.ts";
import type { Io } from "../console/io.ts";
import { formatTime, parseDuration } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { UsageError } from "../console/usage_error.ts";
import { createHandover, readHandoverPlace } from "../wiring/open_handover.ts";
import { findInstalledPackage } from "./packages.ts";

const POLL_MILLISECONDS = 1000;

/** `crpe packages remove` */
export async function runRemovePackage(invocation: Invocation, io: Io): Promise<number> {
  const { data } = await readSettings(invocation, io);
  const records = new PackageRecords(data);
  const [named = ""] = invocation.arguments;
  const given = readHandoverPlace(invocation);
  const wait = parseDuration(invocation.flag("wait") ?? "20s", "--wait");
  const [dryRun, forget] = [invocation.isSet("dry-run"), invocation.isSet("forget")];
  if (forget && given !== undefined) {
    throw new UsageError("Cannot use --forget with --manifests-dir or --kubectl: it leaves the cluster alone");
  }
  const waitForWatcher = async (isDone: () => Promise<boolean>) => {
    if (!invocation.isSet("quiet")) {
      io.err(`waiting up to ${formatTime(wait)} for the cluster to notice that the manifests of ${named} are gone\n`);
    }
    const end = performance.now() + wait;
    for (let left = wait; left > 0 && !await isDone(); left = end - performance.now()) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(POLL_MILLISECONDS, left)));
    }
  };
  const forceConflicts = invocation.isSet("force-conflicts");
  const id = forget ? await findPackageToForget(records, named) : await findInstalledPackage(records, named);
  using _lease = dryRun ? undefined : await takeWriteLease(data);
  const result = await removePackage(id, {
    records,
    dryRun,
    forget,
    force: invocation.isSet("force"),
    pruneData: invocation.isSet("prune-data"),
    openHandover: (recorded) => {
      const place = given ?? recorded;
      return place === undefined ? undefined : createHandover(place, { waitForWatcher, forceConflicts });
    },
    forgetImages: (images, keep) => forgetImages(data, images, keep),
  });
  if (invocation.isSet("json")) {
    const { isRemoved, handedOver, ...what } = result;
    const { where: handover, isConfirmed: confirmed, remaining } = handedOver ?? {};
    io.out(formatJson({ ...what, dryRun, removed: isRemoved, handover, confirmed, remaining }));
  } else io.out(formatResult(result, { dryRun, forget }));
  return dryRun || result.isRemoved || result.handedOver?.remaining === undefined ? 0 : 1;
}

// A package of which only a record is left that cannot be read, such as that of a pending release, is dropped too.
async function findPackageToForget(records: PackageRecords, named: string): Promise<PackageId> {
  const ids = await records.listIds();
  const selector = parsePackageId(named);
  const [first, second] = ids.filter(({ namespace, name }) => {
    return name === selector?.name && (selector.namespace ?? namespace) === namespace;
  });
  const isBroken = first !== undefined && second === undefined && (await records.listProblems(first)).length > 0;
  return isBroken ? first : await findInstalledPackage(records, named);
}

function formatResult(
  { name, namespace, version, isRemoved, handedOver, manifests, untagged }: RemoveResult,
  { dryRun, forget }: { dryRun: boolean; forget: boolean },
): string {
  const what = `${formatPackageId({ name, namespace })}${version === undefined ? "" : `@${version}`}`;
  const lines = [dryRun ? `would remove ${what}` : isRemoved ? `removed ${what}` : `${what} is not removed yet`];
  if (manifests !== undefined) lines.push(...formatManifestDiff(manifests));
  if (isRemoved && handedOver !== undefined) {
    lines.push(`  its objects are gone from the cluster (${handedOver.where})`);
  } else if (isRemoved) {
    lines.push(`  the cluster was not changed${forget ? "" : ": the package was not handed over"}`);
  } else if (handedOver !== undefined) {
    const { remaining, where } = handedOver;
    lines.push(
      ...(remaining ?? []).map((object) => `  still in the cluster: ${object}`),
      `  the removal is handed over to ${where}, and ${
        remaining === undefined ? "nothing confirms it: kubectl does not reach the cluster" : "not complete"
      }`,
      "  the record stays until then: run this again, or drop the record with --forget",
    );
  }
  lines.push(...untagged.map((reference) => `  - ${reference}`));
  if (isRemoved) lines.push("  crpe gc frees the space of its images");
  return lines.map((line) => `${line}\n`).join("");
}
