import type { PackageRecords } from "../../install/package_records.ts";
import { formatRelease, type PackageId } from "../../kubepkg/package_id.ts";
import { SharedHandover, type SharedHandoverOptions } from "../../install/cluster/shared_handover.ts";
import { FolderHandover, type FolderHandoverOptions } from "../../install/handover/folder_handover.ts";
import type { Handover } from "../../install/handover/handover.ts";
import type { HandoverPlace } from "../../install/handover/handover_records.ts";
import { K3sAddons } from "../../install/handover/k3s_addons.ts";
import { listDisabledAddons } from "../../install/handover/k3s_config.ts";
import { KubectlCluster } from "../../install/handover/kubectl_cluster.ts";
import { KubectlHandover } from "../../install/handover/kubectl_handover.ts";
import type { Invocation } from "../command_line/command.ts";
import { runKubectl } from "./run_kubectl.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The dependencies of a hand-over. */
export interface HandoverContext {
  readonly waitForWatcher?: FolderHandoverOptions["waitForWatcher"];
  /** See `KubectlHandover`. */
  readonly forceConflicts?: boolean;
  /** How long kubectl waits until deleted objects are gone, in milliseconds; see `KubectlCluster`. */
  readonly deleteTimeLimit?: number | undefined;
  /** The releases that the servers of the cluster share, for a hand-over in a folder. */
  readonly shared?: SharedHandoverOptions | undefined;
}

/**
 * Reads the place that `--manifests-dir` or `--kubectl` chooses for manifests.
 *
 * @throws {UsageError} when both are given: the objects would have two owners in the cluster, and each would delete
 * objects that the other still manages
 */
export function readHandoverPlace(invocation: Invocation): HandoverPlace | undefined {
  const manifestsDir = invocation.flag("manifests-dir");
  if (!invocation.isSet("kubectl")) return manifestsDir === undefined ? undefined : { manifestsDir };
  if (manifestsDir === undefined) return { kubectl: true };
  throw new UsageError(
    cannot("use --kubectl with --manifests-dir", "the objects would have two owners in the cluster", "choose one"),
  );
}

/** Creates the hand-over for a place. */
export function createHandover(
  place: HandoverPlace,
  { waitForWatcher, forceConflicts, deleteTimeLimit, shared }: HandoverContext = {},
): Handover {
  if ("kubectl" in place) {
    return new KubectlHandover(openCluster(deleteTimeLimit), { forceConflicts });
  }
  const folder = createFolderHandover(place.manifestsDir, { waitForWatcher });
  return shared === undefined ? folder : new SharedHandover(folder, shared);
}

/** Creates the hand-over into a folder of this machine alone. */
export function createFolderHandover(
  manifestsDir: string,
  { waitForWatcher }: Pick<HandoverContext, "waitForWatcher"> = {},
): FolderHandover {
  return new FolderHandover(manifestsDir, {
    addons: new K3sAddons(openCluster()),
    listDisabled: () => listDisabledAddons(),
    waitForWatcher,
  });
}

/** Opens the cluster that kubectl reaches. @param deleteTimeLimit see `HandoverContext` */
export function openCluster(deleteTimeLimit?: number): KubectlCluster {
  return new KubectlCluster({ runKubectl, deleteTimeLimit });
}

/**
 * Describes the release that the cluster keeps running after an import without a hand-over.
 *
 * @param use how the flag that had handed it over is set
 * @returns `undefined` if nothing was handed over before
 */
export async function describeStaleHandover(
  records: PackageRecords,
  id: PackageId,
  use: "use" | "start with",
): Promise<string | undefined> {
  // A record that is not valid is the next hand-over's to report.
  const before = await records.handovers.read(id).catch(() => undefined);
  if (before?.kubepkg === undefined || before.isRemoving) return undefined;
  const flag = "kubectl" in before.place ? "--kubectl" : `--manifests-dir ${before.place.manifestsDir}`;
  const release = formatRelease(before.kubepkg);
  return `the cluster still runs ${release}: this import was not handed over; ${use} ${flag} to do it`;
}
