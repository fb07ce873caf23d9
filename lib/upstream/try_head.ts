import { RegistryError } from "../oci/error.ts";
import type { AnswerHead, EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { TransportError, type TransportFailure } from "./transport/transport_error.ts";
import { isLoop, ResponseError } from "./upstream_error.ts";

// After these failures, a GET would take as long, or must not be sent.
const LASTING: readonly TransportFailure[] = ["closed", "timeout"];

// An overloaded registry must not get a second request (fault 16).
const OVERLOADED = 503;

/**
 * Sends a HEAD; `undefined` unless it succeeds. A HEAD that fails decides nothing: the caller asks with a GET (fault 71).
 * Servers refuse a HEAD with nearly every status, gateways report the refusal as their own failure, storage services
 * reject it because the URL was signed for a GET, and some servers close the connection.
 *
 * @throws {RegistryError} `TOOMANYREQUESTS`; for an overloaded registry or a loop; and when the endpoint does not answer in time, or the link is closed
 */
export async function tryHead(
  client: EndpointClient,
  request: Omit<EndpointRequest, "method" | "accept" | "isTentative">,
): Promise<AnswerHead | undefined> {
  try {
    return await client.sendForHead({ ...request, method: "HEAD", isTentative: true });
  } catch (error) {
    if (!(error instanceof RegistryError) || isLasting(error)) throw error;
    return undefined;
  }
}

function isLasting(error: RegistryError): boolean {
  const { code, cause } = error;
  return code === "TOOMANYREQUESTS" || isLoop(error) ||
    error instanceof ResponseError && error.answered === OVERLOADED ||
    cause instanceof TransportError && LASTING.includes(cause.failure);
}
