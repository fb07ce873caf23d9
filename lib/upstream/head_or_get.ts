import { RegistryError } from "../oci/error.ts";
import type { AnswerHead, EndpointRequest } from "./client_context.ts";
import type { EndpointClient } from "./endpoint_client.ts";
import { TransportError, type TransportFailure } from "./transport/transport_error.ts";
import { LoginError } from "./trust/login_error.ts";
import { isLoop, ResponseError } from "./upstream_error.ts";

// After these failures, a GET would take as long, or must not be sent.
const LASTING: readonly TransportFailure[] = ["closed", "timeout"];

// An overloaded registry must not get a second request (fault 16).
const OVERLOADED = 503;

/** How the answers to a HEAD and to a GET for the same thing are used. */
interface HeadOrGet<T> {
  /** Reads what the answer to the HEAD says; `undefined` when it does not say enough. */
  readonly read: (head: AnswerHead) => T | undefined;
  /** Asks with a GET, with these fields in its request; `undefined` when the registry does not have it. */
  readonly get: (fields: Pick<EndpointRequest, "signal" | "onAnswer" | "hasSlot">) => Promise<T | undefined>;
}

/**
 * Asks with a HEAD, and with a GET where the HEAD fails or does not say enough: a HEAD that fails decides nothing (fault
 * 71). Servers refuse a HEAD with nearly every status, gateways report the refusal as their own failure, storage services
 * reject it because the URL was signed for a GET, and some servers close the connection.
 *
 * Some servers never answer a HEAD, and slow ones need most of the time. So the GET is sent when half of the time has
 * passed, the HEAD keeps its whole time, and the first good answer counts. A GET that was not answered when the HEAD times
 * out is given up: a registry that does not answer costs the time of one request. A GET beside its HEAD shares its slot:
 * where all slots have a HEAD that is not answered, it would wait for one in vain.
 *
 * @throws {RegistryError} as `get`; and that of the HEAD when it is limited, the registry is overloaded, leads in a circle
 *   or does not answer in time, its token server fails, or the link is closed
 */
export async function askHeadOrGet<T>(
  client: EndpointClient,
  request: Omit<EndpointRequest, "method" | "accept" | "onSlow" | "onAnswer">,
  { read, get }: HeadOrGet<T>,
): Promise<T | undefined> {
  const [endHead, endGet] = [new AbortController(), new AbortController()];
  const until = ({ signal }: AbortController) =>
    request.signal === undefined ? signal : AbortSignal.any([signal, request.signal]);
  const slow = Promise.withResolvers<void>();
  let isAnswered = false;
  let got: Promise<T | undefined> | undefined;
  const askByGet = (hasSlot: boolean | undefined) =>
    got ??= get({ signal: until(endGet), onAnswer: () => isAnswered = true, hasSlot });
  const askByHead = async () => {
    const head = { ...request, method: "HEAD", signal: until(endHead), onSlow: slow.resolve } as const;
    try {
      const answer = await client.sendForHead(head);
      const found = answer && read(answer);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof RegistryError) || isLasting(error) && !isAnswered) throw error;
    }
    return await askByGet(request.hasSlot);
  };
  const byHead = askByHead();
  try {
    const found = await Promise.race([byHead, slow.promise.then(() => askByGet(true)).catch(() => byHead)]);
    // A HEAD that failed is left to itself: a time-out of an urgent one is short, and only its own shows an outage.
    endHead.abort();
    return found;
  } finally {
    endGet.abort();
  }
}

function isLasting(error: RegistryError): boolean {
  const { code, cause } = error;
  return code === "TOOMANYREQUESTS" || isLoop(error) || error instanceof LoginError ||
    error instanceof ResponseError && error.answered === OVERLOADED ||
    cause instanceof TransportError && LASTING.includes(cause.failure);
}
