import { findPackage } from "../../agent/installed_packages.ts";
import type { HandoverPlace } from "../../install/handover/handover_records.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import { readPackageStatus } from "../../install/package_status.ts";
import { removePackage } from "../../install/remove_package.ts";
import { rollBackPackage } from "../../install/rollback_package.ts";
import { formatPackageId, packageIdOf } from "../../kubepkg/package_id.ts";
import { cannot, RefusedError } from "../../oci/error.ts";
import type { PackageChange, PageActions } from "../../page/page_options.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { openCluster, readHandoverPlace } from "../wiring/open_handover.ts";
import { readSiteTrust } from "../wiring/read_keys.ts";
import { openHandover } from "../wiring/open_releases.ts";
import type { ServerContext } from "./serve_registry.ts";

/** Creates the changes that the page of an agent offers. */
export function createPageActions(
  invocation: Invocation,
  io: Io,
  { context, readRecords, node }: {
    readonly context: ServerContext;
    /** Opens the records of packages as they are now. */
    readonly readRecords: () => Promise<PackageRecords>;
    readonly node: string;
  },
): PageActions {
  const { settings: { data, store: bucket }, content: { store }, log } = context;
  const given = readHandoverPlace(invocation);
  const warn = (message: string) => log.write("warning", message);
  const openGiven = (recorded: HandoverPlace | undefined) => {
    if (given === undefined && recorded !== undefined) throw refuseHandover(recorded);
    return openHandover(given, invocation, { io, warn });
  };
  const find = async (change: PackageChange) => {
    const records = await readRecords();
    return { records, id: packageIdOf(await findPackage(records, change)) };
  };
  return {
    async rollBack(change) {
      const { records, id } = await find(change);
      using _lease = await takeWriteLease(data);
      const { isChanged, handedOver, ...result } = await rollBackPackage(id, {
        store,
        records,
        to: change.to,
        node,
        trust: await readSiteTrust(invocation, { records, config: context.settings.config }),
        openHandover: openGiven,
      });
      if (isChanged) log.write("info", `rolled ${formatPackageId(id)} back from ${result.from} to ${result.to}`);
      const { where: handover, isConfirmed: confirmed, remaining } = handedOver ?? {};
      return { ...result, rolledBack: isChanged, handover, confirmed, remaining };
    },
    async remove(change) {
      const { records, id } = await find(change);
      const { dryRun } = change;
      using _lease = dryRun ? undefined : await takeWriteLease(data);
      const { isRemoved, handedOver, ...result } = await removePackage(id, {
        records,
        dryRun,
        openHandover: openGiven,
        store,
      });
      if (isRemoved) log.write("info", `removed ${formatPackageId(id)}`);
      const { where: handover, isConfirmed: confirmed, remaining, failure } = handedOver ?? {};
      return { ...result, dryRun, removed: isRemoved, store: bucket, handover, confirmed, remaining, failure };
    },
    async readStatus(selector) {
      const records = await readRecords();
      const installed = await findPackage(records, selector);
      const { isRemoving, isRetried, ...status } = await readPackageStatus(installed, {
        records,
        cluster: openCluster(),
      });
      return { ...status, removing: isRemoving, retried: isRetried };
    },
  };
}

// Without a hand-over the agent has given up the permission to run kubectl, which both places need.
function refuseHandover(recorded: HandoverPlace): RefusedError {
  const [where, flag] = "kubectl" in recorded
    ? ["with kubectl", "--kubectl"]
    : [`in ${recorded.manifestsDir}`, `--manifests-dir ${recorded.manifestsDir}`];
  return new RefusedError(
    cannot(
      "change the package",
      `its objects were handed over ${where}, and this agent was started without ${flag}`,
      "start it with that, or run crpe packages remove or crpe packages rollback on this machine",
    ),
  );
}
