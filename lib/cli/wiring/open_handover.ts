import { FolderHandover } from "../../install/handover/folder_handover.ts";
import type { Handover, HandoverPlace } from "../../install/handover/handover.ts";
import type { KubectlResult } from "../../install/handover/kubectl_error.ts";
import { KubectlHandover } from "../../install/handover/kubectl_handover.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import type { Invocation } from "../command_line/command.ts";
import { UsageError } from "../console/usage_error.ts";

/** What handing over is done with. */
export interface HandoverContext {
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
export function createHandover(place: HandoverPlace, { records, waitForWatcher }: HandoverContext): Handover {
  if ("manifestsDir" in place) {
    return new FolderHandover(place.manifestsDir, waitForWatcher === undefined ? {} : { waitForWatcher });
  }
  return new KubectlHandover({ runKubectl, listPackages: () => records.list() });
}

// What a dynamic linker is told is not passed on: Deno starts no program with it but for one that may start any. Termux
// has LD_PRELOAD set always; kubectl needs none of it.
const LINKER = { LD_PRELOAD: "", LD_LIBRARY_PATH: "" };

/** Runs the kubectl on `$PATH`, in our surroundings. */
export async function runKubectl(args: readonly string[], input?: string): Promise<KubectlResult | undefined> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("kubectl", {
      args: [...args],
      env: LINKER,
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    // Which program may be started is settled when we are.
    throw new Error("Cannot run kubectl: it came, or was moved, after crpe was started; start crpe again", {
      cause: error,
    });
  }
  const [{ code, stdout, stderr }] = await Promise.all([
    child.output(),
    // It may end before it has read everything; what it says then is what counts.
    input === undefined ? undefined : new Blob([input]).stream().pipeTo(child.stdin).catch(() => {}),
  ]);
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
