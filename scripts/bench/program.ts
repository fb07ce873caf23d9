import { findPeer, type Peer } from "../../tests/support/peers.ts";

/** Returns the path of a program; `undefined` when it is not installed. */
export function findProgram(name: string): string | undefined {
  return findPeer(name as Peer);
}

/** Runs a program. @returns its standard output @throws {Error} when it is not installed, or fails */
export async function runProgram(name: string, ...args: readonly string[]): Promise<string> {
  const path = name.startsWith("/") ? name : findProgram(name);
  if (path === undefined) throw new Error(`Cannot run ${name}: it is not installed`);
  const { success, stdout, stderr } = await new Deno.Command(path, { args: [...args], stdin: "null" }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`Cannot run ${name} ${args.join(" ")}: ${decoder.decode(stderr)}`);
  return decoder.decode(stdout);
}

/** Runs a bash script with the arguments `$1`, `$2` and so on. @throws {Error} when a command in it fails */
export async function runShell(line: string, ...args: readonly string[]): Promise<void> {
  await runProgram("bash", "-o", "pipefail", "-ec", line, "bash", ...args);
}

/** Removes files and folders; missing ones are ignored. */
export async function removeAll(...paths: readonly string[]): Promise<void> {
  for (const path of paths) await runProgram("rm", "-rf", path);
}
