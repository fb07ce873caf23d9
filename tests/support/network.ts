/**
 * Gives the command that starts a program in a network namespace of its own. Its only interface is a loopback, which is
 * down.
 *
 * @param commands shell commands that set the namespace up before the program starts
 */
export function inNetwork(...commands: readonly string[]): string[] {
  return ["unshare", "--net", "--", "/bin/sh", "-c", `${commands.join(" && ")} && exec "$0" "$@"`];
}

/** Runs a program in the network namespace of a process. @returns its standard output @throws {Error} when it fails */
export async function runBeside(pid: number, [command, ...args]: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("nsenter", {
    args: [`--net=/proc/${pid}/ns/net`, "--", command!, ...args],
  }).output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
