import type { Command, Flag, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The flags with which a command is about the packages of an agent. */
export const REMOTE_FLAGS: readonly Flag[] = [
  { name: "to", value: "URL", summary: "the packages of the agent at URL, such as https://node1:36060" },
  FLAG.agentToken,
  FLAG.fingerprint,
  FLAG.agentCa,
  FLAG.insecureHttp,
];

/** Reports whether a command is about the packages of an agent. */
export function isRemote(invocation: Invocation): boolean {
  return invocation.flag("to") !== undefined;
}

/** Makes one command of two: the one for this machine, and the one for the agent that `--to` names. */
export function runAt(
  { local, remote, isAgent = isRemote }: {
    readonly local: Command["run"];
    readonly remote: Command["run"];
    readonly isAgent?: (invocation: Invocation) => boolean;
  },
): Command["run"] {
  return async (invocation, io) => {
    if (isAgent(invocation)) return await remote(invocation, io);
    const flag = ["token-file", "ca-file", "fingerprint"].find((name) => invocation.flag(name) !== undefined) ??
      (invocation.isSet("insecure-http") ? "insecure-http" : undefined);
    if (flag !== undefined) throw new UsageError(cannot(`use --${flag} without --to URL`, "it is for the agent there"));
    return await local(invocation, io);
  };
}
