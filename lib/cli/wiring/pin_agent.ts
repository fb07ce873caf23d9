import { AGENT_PORT } from "../../agent/protocol.ts";
import type { AgentAnswer, AgentRequest } from "../../agent/client/request_agent.ts";
import type { KnownAgents } from "../../agent/client/known_agents.ts";
import { fetchCertificate, openPinnedRelay, type Pin } from "../../agent/client/pinned_relay.ts";
import { createNodeSender } from "../../agent/client/node_sender.ts";
import { cannot, RefusedError, RegistryError } from "../../oci/error.ts";
import type { AgentAddress } from "./choose_agent_url.ts";

/** An agent whose certificate is pinned. */
export interface PinnedAgent {
  /** Its address, without a slash at the end. */
  readonly url: string;
  /** Where this process reaches it, for a client that cannot use `send`. */
  readonly localUrl: string;
  readonly send: (request: AgentRequest) => Promise<AgentAnswer>;
  readonly pin: Pin;
}

/** Options of `pinAgent`. */
interface PinAgentOptions {
  /** The fingerprint that the user has given; see `parseFingerprint`. */
  readonly given?: string | undefined;
  /** The agents that were pinned before; `undefined` without a data folder. */
  readonly known?: KnownAgents | undefined;
  /** Whether an agent may be reached in another way: by plain http, or with a certificate of an authority. */
  readonly isOptional: boolean;
  /** Says where the user enters a fingerprint; by default as a flag. */
  readonly advise?: (fingerprint: string) => string;
}

const adviseFlag = (fingerprint: string) => `add --fingerprint ${fingerprint}, which is remembered`;

/**
 * Reaches an agent by its own certificate: one whose fingerprint was given, or is known from before, as ssh does it.
 *
 * @returns `undefined` if the address is to be used in another way
 * @throws {RefusedError} when the certificate is another one, or is the agent's own and not known
 */
export async function pinAgent(
  address: AgentAddress,
  { given, known, isOptional, advise = adviseFlag }: PinAgentOptions,
): Promise<PinnedAgent | undefined> {
  let pinned: string | undefined;
  for (const url of candidatesOf(address)) {
    const expected = given ?? await known?.find(hostOf(url));
    pinned ??= expected;
    if (expected === undefined && isOptional) continue;
    const found = await fetchCertificate(url).catch(() => undefined);
    if (found === undefined) continue;
    if (expected === undefined) {
      if (!found.isOwn) continue;
      throw new RefusedError(
        cannot(
          `connect to ${url.origin}`,
          "its certificate is not known yet",
          `if the agent has printed ${found.fingerprint} ` +
            `at its start, ${advise(found.fingerprint)}`,
        ),
      );
    }
    if (found.fingerprint !== expected) throw refuseChanged(url, { expected, found: found.fingerprint, given, known });
    if (given !== undefined) await known?.add(hostOf(url), given);
    const path = url.pathname.replace(/\/+$/, "");
    const access = { url: `${url.origin}${path}`, pin: { pem: found.pem, isOwn: found.isOwn } };
    return { ...access, localUrl: `${openPinnedRelay(url, found)}${path}`, send: createNodeSender(access) };
  }
  if (pinned === undefined) return undefined;
  // What has been pinned is not reached in a weaker way.
  throw new RegistryError(
    "BAD_GATEWAY",
    cannot(`connect to ${address.url}`, "it does not answer over https, and its certificate is pinned"),
  );
}

function refuseChanged(
  url: URL,
  { expected, found, given, known }: {
    readonly expected: string;
    readonly found: string;
    readonly given: string | undefined;
    readonly known: KnownAgents | undefined;
  },
): RefusedError {
  const advice = given !== undefined
    ? "compare it with what the agent prints at its start"
    : `if the agent was set up anew, add --fingerprint with the one that it prints; ${known?.path} has the old one`;
  return new RefusedError(
    cannot(
      `connect to ${url.origin}`,
      `its certificate is ${found}, and not ${expected}: another machine may answer in its place`,
      advice,
    ),
  );
}

// An address without a scheme and without another port is that of an agent with its usual ports.
function candidatesOf({ url, hasScheme }: AgentAddress): URL[] {
  const at = new URL(url);
  if (at.protocol !== "https:") return [];
  if (hasScheme || at.port !== `${AGENT_PORT}`) return [at];
  const secure = new URL(at);
  secure.port = `${AGENT_PORT + 1}`;
  return [secure, at];
}

function hostOf({ hostname, port }: URL): string {
  return `${hostname}:${port || 443}`;
}
