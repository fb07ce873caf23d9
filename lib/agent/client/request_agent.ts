import { unlessCorrupt } from "../../oci/error.ts";
import { parseJson } from "../../oci/json.ts";
import { AgentError, ANSWER_LIMITS, notAnAgent } from "./agent_error.ts";

/** A request to an agent. */
export interface AgentRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: AgentRequestBody | undefined;
  readonly signal: AbortSignal;
  /** Called when a piece of the response is received. */
  readonly onAnswer?: () => void;
}

/** The body of a request, with its length in bytes. */
export interface AgentRequestBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly length: number;
}

/** The response of an agent. */
export interface AgentAnswer {
  readonly status: number;
  /** The target of a redirect. */
  readonly location?: string | undefined;
  /** Of a response in lines (`NDJSON`) the last one: those before it are progress. */
  readonly bytes: Uint8Array;
}

/** How an agent is reached. */
export interface AgentConnection {
  /** The address of the agent, without a slash at the end. */
  readonly url: string;
  /** Absent if the user has named none: then only what is open to everybody is answered. */
  readonly token: string | undefined;
  /** Sends a request without following redirects. @throws {AgentError} when no response is received */
  readonly send: (request: AgentRequest) => Promise<AgentAnswer>;
}

/** A request without a body. */
export interface BodilessRequest {
  readonly method: string;
  readonly path: string;
  /** How long the answer is waited for, in milliseconds. */
  readonly timeout: number;
}

/** Sends a request without a body to an agent. @throws {AgentError} when no response is received */
export async function requestAgent(
  { url, token, send }: AgentConnection,
  { method, path, timeout }: BodilessRequest,
): Promise<AgentAnswer> {
  const signal = AbortSignal.timeout(timeout);
  const authorization = token === undefined ? undefined : { authorization: `Bearer ${token}` };
  const headers = { accept: "application/json", ...authorization };
  return await send({ method, url: `${url}${path}`, headers, body: undefined, signal }).catch((cause) => {
    if (!signal.aborted) throw cause;
    throw new AgentError(`no response within ${timeout / 1000} s`, { isTransient: true, failure: "timeout", cause });
  });
}

/** Parses the JSON document of an answer. @throws {AgentError} when it is something else */
export function parseAnswer(bytes: Uint8Array): unknown {
  const json = unlessCorrupt(() => parseJson(bytes, "the answer", ANSWER_LIMITS));
  if (json === undefined) throw notAnAgent("something other than JSON");
  return json;
}
