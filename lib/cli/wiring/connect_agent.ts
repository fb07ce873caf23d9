import { readText } from "../../files/read_text.ts";
import { readTokenFile } from "../../agent/api_token.ts";
import type { AgentConnection } from "../../agent/client/request_agent.ts";
import { createSender } from "../../agent/client/send_to_agent.ts";
import { listOwnAddresses, OwnHosts } from "../../server/own_hosts.ts";
import type { Invocation } from "../command_line/command.ts";
import { KnownAgents } from "../../agent/client/known_agents.ts";
import { parseFingerprint } from "../../agent/client/pinned_relay.ts";
import { readDataFolder } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { readSystemCertificates } from "./certificates.ts";
import { type AgentAddress, chooseAgentUrl } from "./choose_agent_url.ts";
import { pinAgent, type PinnedAgent } from "./pin_agent.ts";
import { cannot, UsageError } from "../../oci/error.ts";

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
 * Reaches an agent by its own certificate, if that is known or given by the flag `--fingerprint`; see `pinAgent`.
 *
 * @throws {UsageError} when `--fingerprint` is not one, or is given for plain http
 */
export async function pinByFlags(
  address: AgentAddress,
  { invocation, io, isOptional }: {
    readonly invocation: Invocation;
    readonly io: Io;
    readonly isOptional: boolean;
  },
): Promise<PinnedAgent | undefined> {
  const given = invocation.flag("fingerprint");
  if (given !== undefined && address.url.startsWith("http:")) {
    throw new UsageError(
      cannot(`use --fingerprint with ${address.url}`, "it is of a certificate", "write https://HOST:PORT"),
    );
  }
  if (address.url.startsWith("http:")) return undefined;
  return await pinAgent(address, {
    given: given === undefined ? undefined : parseFingerprint(given),
    known: await openKnownAgents(invocation, io),
    isOptional,
  });
}

/**
 * Chooses how a command reaches an agent, from its flags `--fingerprint`, `--ca-file` and `--insecure-http`. Without a
 * token, nothing is sent that others must not read.
 *
 * @throws {RefusedError} when the token would be sent unencrypted to another machine, or as `pinAgent` does
 */
export async function connectAgent<T extends string | undefined>(
  address: AgentAddress,
  { invocation, io, token }: { invocation: Invocation; io: Io; token: T },
): Promise<AgentConnection & { readonly token: T; readonly localUrl: string }> {
  const caFile = invocation.flag("ca-file");
  const send = createSender(
    caFile === undefined ? readSystemCertificates(io).join("\n") : await readText(caFile),
  );
  const own = new OwnHosts({ hostname: "", domains: [], listAddresses: listOwnAddresses });
  const isInsecureAllowed = token === undefined || invocation.isSet("insecure-http");
  const isThisMachine = (host: string) => own.has(host);
  const isPlain = !address.hasScheme && (isInsecureAllowed || isThisMachine(new URL(address.url).hostname));
  const pinned = await pinByFlags(address, { invocation, io, isOptional: isPlain || caFile !== undefined });
  if (pinned !== undefined) return { ...pinned, token };
  const url = await chooseAgentUrl(address, { send, isInsecureAllowed, isThisMachine });
  return { url, localUrl: url, token, send };
}

// Nothing else of a connection needs a data folder. The other settings are not for agents: `--ca-file` is another flag there.
async function openKnownAgents(invocation: Invocation, io: Io): Promise<KnownAgents | undefined> {
  const data = await readDataFolder(invocation, io);
  return data === undefined ? undefined : new KnownAgents(data);
}
