import { findPeer, type Peer } from "../../tests/support/peers.ts";

/** The path of a program, or `undefined` where it is not installed. */
export function findProgram(name: string): string | undefined {
  return findPeer(name as Peer);
}

/** Runs a program to its end. @returns what it printed to standard output. @throws when it fails */
export async function runProgram(name: string, ...args: readonly string[]): Promise<string> {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`Cannot run ${name}: it is not installed`);
  const { success, stdout, stderr } = await new Deno.Command(path, { args: [...args], stdin: "null" }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`Cannot run ${name} ${args.join(" ")}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** Runs a line of sh, which may use `$1`, `$2` and so on, to its end. @throws when a part of it fails */
export async function runShell(line: string, ...args: readonly string[]): Promise<void> {
  await runProgram("bash", "-o", "pipefail", "-ec", line, "bash", ...args);
}

/**
 * Times work, in seconds. What is waiting to be written to the disk is written before, so that it is not the work that
 * pays for it.
 */
export async function timeWork(work: () => Promise<unknown>): Promise<number> {
  await runProgram("sync");
  const started = performance.now();
  await work();
  return (performance.now() - started) / 1000;
}

/** Removes a file or a folder that may be gone already. */
export async function removeAll(...paths: readonly string[]): Promise<void> {
  for (const path of paths) await runProgram("rm", "-rf", path);
}
