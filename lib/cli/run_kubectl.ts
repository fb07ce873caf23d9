import type { KubectlResult } from "../agent/kubectl_error.ts";

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
