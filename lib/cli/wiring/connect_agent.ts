import { readTokenFile } from "../../agent/api_token.ts";
import type { AgentConnection } from "../../agent/client/agent_packages.ts";
import { createSender } from "../../agent/client/send_to_agent.ts";
import { listOwnAddresses, OwnHosts } from "../../server/own_hosts.ts";
import type { Invocation } from "../command_line/command.ts";
import { type AgentAddress, chooseAgentUrl } from "./choose_agent_url.ts";

/** Reads the token of `--token-file`; `undefined` without that flag. @throws {Error} as `readTokenFile` does */
export async function readAgentToken(
  invocation: Invocation,
  warn: (message: string) => void,
): Promise<string | undefined> {
  const file = invocation.flag("token-file");
  if (file === undefined) return undefined;
  const { token, isReadableByGroup } = await readTokenFile(file);
  if (isReadableByGroup) warn(`${file} can be read by its group; chmod 600 it`);
  return token;
}

/**
 * Chooses how a command reaches an agent, from its flags `--ca-file` and `--insecure-http`. Without a token, nothing is sent
 * that others must not read.
 *
 * @throws {RefusedError} when the token would be sent unencrypted to another machine
 */
export async function connectAgent<T extends string | undefined>(
  address: AgentAddress,
  { invocation, token }: { invocation: Invocation; token: T },
): Promise<AgentConnection & { readonly token: T }> {
  const caFile = invocation.flag("ca-file");
  const send = createSender(caFile === undefined ? undefined : await Deno.readTextFile(caFile));
  const own = new OwnHosts({ hostname: "", domains: [], listAddresses: listOwnAddresses });
  const url = await chooseAgentUrl(address, {
    send,
    isInsecureAllowed: token === undefined || invocation.isSet("insecure-http"),
    isThisMachine: (host) => own.has(host),
  });
  return { url, token, send };
}
