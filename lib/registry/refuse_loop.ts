import { isLoop } from "../http/via.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { answerError } from "./answer.ts";

/**
 * Refuses a request that this instance has caused itself, because one of its upstreams leads back to it (fault 75).
 *
 * @param id the identity of this instance in `Via`
 * @returns the error response (508, RFC 5842); `undefined` when the request is no loop
 */
export function refuseLoop({ method, headers }: Request, id: string): Response | undefined {
  if (!isLoop(headers.get("via"), id)) return undefined;
  const reason = "the request came from this registry itself; one of its upstreams leads back to it";
  const answer = answerError(new RegistryError("BAD_GATEWAY", cannot("answer", reason), { status: 508 }));
  return new Response(method === "HEAD" ? null : answer.body as BodyInit, answer);
}
