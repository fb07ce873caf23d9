import { AGENT_PORT } from "../../agent/protocol.ts";
import type { AgentAnswer, AgentRequest } from "../../agent/client/request_agent.ts";
import { AgentError } from "../../agent/client/agent_error.ts";
import { cannot, RefusedError, UsageError } from "../../oci/error.ts";
import type { TransportFailure } from "../../upstream/transport/transport_error.ts";
import { quoteOperand } from "../console/quote_operand.ts";

/** The address of an agent as a user has written it. */
export interface AgentAddress {
  /** Without a slash at the end. */
  readonly url: string;
  /** Whether the user has chosen http or https. Otherwise `url` is that of https. */
  readonly hasScheme: boolean;
}

/** Dependencies of `chooseAgentUrl`. */
interface ChooseAgentUrlOptions {
  readonly send: (request: AgentRequest) => Promise<AgentAnswer>;
  /** Whether the token may be sent unencrypted to another machine. */
  readonly isInsecureAllowed: boolean;
  /** Reports whether a host, as in a URL, is this machine. */
  readonly isThisMachine: (host: string) => boolean;
}

// The default port of an agent.
/** How an address is written, for the error about one that is not valid. */
export const ADDRESS_ADVICE = `write https://HOST:PORT, such as https://192.168.1.20:${AGENT_PORT}`;
const PROBE_MILLISECONDS = 5000;
// Plain HTTP would not help: the agent cannot be reached, or has a certificate that is not trusted.
const NOT_BY_PLAIN_HTTP: readonly TransportFailure[] = ["authority", "certificate", "clock"];
const UNREACHED: readonly TransportFailure[] = ["refused", "dns", "unreachable", "blocked"];

/**
 * Parses the address of an agent: an http(s) URL, or `HOST[:PORT]`.
 *
 * @throws {UsageError} when the address is not valid
 */
export function parseAgentAddress(text: string): AgentAddress {
  const address = readAgentAddress(text);
  // `1.0.0` would be the address 1.0.0.0: it is rather the version of a package.
  const { hostname = "" } = URL.parse(address?.url ?? "") ?? {};
  const isRewritten = /^[0-9.]+$/.test(hostname) && !text.includes(hostname);
  if (address !== undefined && !isRewritten) return address;
  throw new UsageError(cannot(`use --to ${quoteOperand(text)}`, ADDRESS_ADVICE));
}

/** Reads the address of an agent: an http(s) URL, or `HOST[:PORT]`; `undefined` if it is not valid. */
export function readAgentAddress(text: string): AgentAddress | undefined {
  const hasScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
  const url = URL.parse(hasScheme ? text : `https://${text}`);
  const isGood = url !== null && /^https?:$/.test(url.protocol) && url.search === "" && url.hash === "";
  if (!isGood || url.username !== "" || url.password !== "") return undefined;
  if (!hasScheme && url.port === "" && !/:443(?:\/|$)/.test(text)) url.port = `${AGENT_PORT}`;
  return { url: url.href.replace(/\/+$/, ""), hasScheme };
}

/**
 * Chooses how an agent is reached. An address without a scheme is tried with https first. Plain http, which sends the token
 * readably, is chosen only for this machine, or if it is allowed.
 *
 * @throws {RefusedError} when only plain http is possible, and not allowed
 */
export async function chooseAgentUrl(
  { url, hasScheme }: AgentAddress,
  options: ChooseAgentUrlOptions,
): Promise<string> {
  const { isInsecureAllowed, isThisMachine } = options;
  const isPlainAllowed = isInsecureAllowed || isThisMachine(new URL(url).hostname);
  if (hasScheme) {
    if (isPlainAllowed || url.startsWith("https:")) return url;
    throw refuse(url, "");
  }
  const failure = await probe(url, options);
  if (failure === undefined || NOT_BY_PLAIN_HTTP.includes(failure)) return url;
  if (isPlainAllowed) return url.replace(/^https:/, "http:");
  // The request that follows reports why the agent is not reached.
  if (UNREACHED.includes(failure)) return url;
  throw refuse(url, "it does not answer over https, and ");
}

function refuse(url: string, reason: string): RefusedError {
  return new RefusedError(
    cannot(
      `connect to ${url}`,
      `${reason}the token is not sent unencrypted to another machine`,
      "use https, by " +
        "default at port 36061, with --fingerprint",
    ),
    { overrule: { flag: "insecure-http", advice: "--insecure-http allows it" } },
  );
}

// Asks without the token. Any response means that the agent speaks TLS.
async function probe(url: string, { send }: ChooseAgentUrlOptions): Promise<TransportFailure | undefined> {
  try {
    const signal = AbortSignal.timeout(PROBE_MILLISECONDS);
    await send({ method: "HEAD", url: `${url}/kubepkgs`, headers: {}, body: undefined, signal });
    return undefined;
  } catch (error) {
    return error instanceof AgentError ? error.failure ?? "other" : "timeout";
  }
}
