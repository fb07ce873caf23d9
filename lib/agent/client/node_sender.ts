import type { AgentAnswer, AgentRequest } from "./request_agent.ts";
import { openPinnedRelay, type Pin } from "./pinned_relay.ts";
import { createSender } from "./send_to_agent.ts";

/** How an agent is reached. */
export interface NodeAccess {
  /** Its address, without a slash at the end. */
  readonly url: string;
  /** Additional certificate authorities for https, as PEM. */
  readonly ca?: string | undefined;
  /** The only certificate that is accepted. */
  readonly pin?: Pin | undefined;
}

/** Creates the function that sends requests to one agent. @param options see `createSender` */
export function createNodeSender(
  { url, ca, pin }: NodeAccess,
  options?: { readonly isStoppable?: boolean },
): (request: AgentRequest) => Promise<AgentAnswer> {
  const send = createSender(ca, options);
  if (pin === undefined) return send;
  const { origin } = new URL(url);
  const relay = openPinnedRelay(new URL(url), pin);
  return (request) => send({ ...request, url: `${relay}${request.url.slice(origin.length)}` });
}
