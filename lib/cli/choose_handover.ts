import { FolderHandover } from "../agent/folder_handover.ts";
import type { Handover, HandoverPlace } from "../agent/handover.ts";
import { KubectlHandover } from "../agent/kubectl_handover.ts";
import type { PackageRecords } from "../agent/package_records.ts";
import { type Invocation, UsageError } from "./command.ts";
import { runKubectl } from "./run_kubectl.ts";

/** What handing over is done with. */
export interface HandoverSurroundings {
  readonly records: PackageRecords;
  readonly waitForWatcher?: () => Promise<void>;
}

/**
 * Where the flags `--manifests-dir` and `--kubectl` say that manifests go.
 *
 * @throws {UsageError} when both are given: the objects would have two owners, and whichever deletes first takes them
 * from the other
 */
export function readHandoverPlace(invocation: Invocation): HandoverPlace | undefined {
  const manifestsDir = invocation.flag("manifests-dir");
  if (!invocation.isSet("kubectl")) return manifestsDir === undefined ? undefined : { manifestsDir };
  if (manifestsDir === undefined) return { kubectl: true };
  throw new UsageError(
    "Cannot use --kubectl with --manifests-dir: the objects would have two owners in the cluster; choose one",
  );
}

/** What hands over at a place. */
export function createHandover(place: HandoverPlace, { records, waitForWatcher }: HandoverSurroundings): Handover {
  if ("manifestsDir" in place) {
    return new FolderHandover(place.manifestsDir, waitForWatcher === undefined ? {} : { waitForWatcher });
  }
  return new KubectlHandover({ runKubectl, listPackages: () => records.list() });
}
