/**
 * The words that start a program in a network namespace of its own, after `commands` have set that up: there is no
 * interface in it but a loopback, which is down.
 */
export function inNetwork(...commands: readonly string[]): string[] {
  return ["unshare", "--net", "--", "sh", "-c", `${commands.join(" && ")} && exec "$0" "$@"`];
}

/** Runs a program in the network namespace of a process. @returns its standard output */
export async function runBeside(pid: number, [command, ...args]: readonly string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("nsenter", {
    args: [`--net=/proc/${pid}/ns/net`, "--", command!, ...args],
  }).output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
