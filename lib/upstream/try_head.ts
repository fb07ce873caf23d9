import { RegistryError } from "../oci/error.ts";
import type { AnswerHead, EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { TransportError, type TransportFailure } from "./transport/transport_error.ts";
import { isLoop, ResponseError } from "./upstream_error.ts";

// An overloaded registry must not get a second request (fault 16).
const OVERLOADED = 503;

/** What a HEAD has found out. */
interface TriedHead {
  /** The answer of a HEAD that succeeded. */
  readonly head: AnswerHead | undefined;
  /** Whether it was not answered in time, so that half of the time is used up. */
  readonly isLate: boolean;
}

/**
 * Sends a HEAD. One that fails decides nothing: the caller asks with a GET (fault 71). Servers refuse a HEAD with nearly
 * every status, gateways report the refusal as their own failure, storage services reject it because the URL was signed
 * for a GET, and some servers close the connection, or never answer.
 *
 * @throws {RegistryError} `TOOMANYREQUESTS`; for an overloaded registry or a loop; and when the link is closed
 */
export async function tryHead(
  client: EndpointClient,
  request: Omit<EndpointRequest, "method" | "accept" | "isTentative">,
): Promise<TriedHead> {
  try {
    return { head: await client.sendForHead({ ...request, method: "HEAD", isTentative: true }), isLate: false };
  } catch (error) {
    if (!(error instanceof RegistryError) || isLasting(error)) throw error;
    return { head: undefined, isLate: failureOf(error) === "timeout" };
  }
}

function isLasting(error: RegistryError): boolean {
  return error.code === "TOOMANYREQUESTS" || isLoop(error) || failureOf(error) === "closed" ||
    error instanceof ResponseError && error.answered === OVERLOADED;
}

function failureOf({ cause }: RegistryError): TransportFailure | undefined {
  return cause instanceof TransportError ? cause.failure : undefined;
}
