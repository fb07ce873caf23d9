import { SharedHandover, type SharedHandoverOptions } from "../../install/cluster/shared_handover.ts";
import { FolderHandover, type FolderHandoverOptions } from "../../install/handover/folder_handover.ts";
import type { Handover, HandoverPlace } from "../../install/handover/handover.ts";
import { K3sAddons } from "../../install/handover/k3s_addons.ts";
import { listDisabledAddons } from "../../install/handover/k3s_config.ts";
import { KubectlCluster } from "../../install/handover/kubectl_cluster.ts";
import type { KubectlResult } from "../../install/handover/kubectl_error.ts";
import { KubectlHandover } from "../../install/handover/kubectl_handover.ts";
import type { Invocation } from "../command_line/command.ts";
import { UsageError } from "../console/usage_error.ts";

/** The dependencies of a hand-over. */
export interface HandoverContext {
  readonly waitForWatcher?: FolderHandoverOptions["waitForWatcher"];
  readonly forceConflicts?: boolean;
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
    "Cannot use --kubectl with --manifests-dir: the objects would have two owners in the cluster; choose one",
  );
}

/** Creates the hand-over for a place. */
export function createHandover(
  place: HandoverPlace,
  { waitForWatcher, forceConflicts, shared }: HandoverContext = {},
): Handover {
  if ("kubectl" in place) return new KubectlHandover(new KubectlCluster({ runKubectl }), { forceConflicts });
  const folder = createFolderHandover(place.manifestsDir, { waitForWatcher });
  return shared === undefined ? folder : new SharedHandover(folder, shared);
}

/** Creates the hand-over into a folder of this machine alone. */
export function createFolderHandover(
  manifestsDir: string,
  { waitForWatcher }: Pick<HandoverContext, "waitForWatcher"> = {},
): FolderHandover {
  return new FolderHandover(manifestsDir, {
    addons: new K3sAddons(new KubectlCluster({ runKubectl })),
    listDisabled: () => listDisabledAddons(manifestsDir),
    ...(waitForWatcher === undefined ? {} : { waitForWatcher }),
  });
}

/** The objects in the place of `--kubectl` and of a k3s folder, as far as kubectl can see them. */
export function openAddons(): K3sAddons {
  return new K3sAddons(new KubectlCluster({ runKubectl }));
}

// These variables of the dynamic linker are cleared, because Deno starts a program with them only if crpe may run any
// program. Termux always sets LD_PRELOAD; kubectl does not need it.
const LINKER = { LD_PRELOAD: "", LD_LIBRARY_PATH: "" };

// Every call has time-outs of its own; this one ends a kubectl that ignores them, such as a login plugin that waits.
const KUBECTL_TIMEOUT = 10 * 60_000;

/** Runs the kubectl on `$PATH` in crpe's environment. @returns `undefined` when there is no kubectl */
export async function runKubectl(args: readonly string[], input?: string): Promise<KubectlResult | undefined> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("kubectl", {
      args: [...args],
      env: LINKER,
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
      signal: AbortSignal.timeout(KUBECTL_TIMEOUT),
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    // The permission to run kubectl is resolved to a path when crpe starts.
    throw new Error("Cannot run kubectl: it was installed or moved after crpe started; restart crpe", {
      cause: error,
    });
  }
  const [{ code, stdout, stderr }] = await Promise.all([
    child.output(),
    // kubectl may exit before it has read all input; its own output then explains why.
    input === undefined ? undefined : new Blob([input]).stream().pipeTo(child.stdin).catch(() => {}),
  ]);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
