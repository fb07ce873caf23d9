import { createSingleEndpointSelector } from "../../upstream/endpoints.ts";
import { UpstreamSource } from "../../upstream/upstream_source.ts";
import type { Io } from "../console/io.ts";
import { VERSION } from "../console/version.ts";
import type { UpstreamSettings } from "./open_upstream.ts";
import { readProxyEnvironment } from "./proxy_environment.ts";

// A peer that does not answer is not worth a retry: the upstream is asked instead.
const NO_RETRIES = { maxTries: 1, connectRetries: 0 };
const TIMEOUTS = { connect: 5000, stall: 5000 };
// The responses of a crpe that has content. Others, such as redirects and requests for a login, are not followed.
const STATUSES = [200, 206];

/** What the sources of found peers are opened with. */
interface FoundPeersSettings extends Pick<UpstreamSettings, "onUpstreamEvent" | "via"> {
  /** Lists the peers that are found at present, as addresses with ports. */
  readonly list: () => readonly string[];
  /** Called once, with the reason why a peer is not used. */
  readonly onProxy: (message: string) => void;
}

/**
 * Opens the crpes that were found in the network. They get no credentials, lead to no other server, and answer from their
 * stores alone.
 *
 * @returns a function that lists them at present
 */
export function openFoundPeers(io: Io, settings: FoundPeersSettings): () => readonly UpstreamSource[] {
  const { list, onProxy, onUpstreamEvent: onEvent, via } = settings;
  const { proxyOf } = readProxyEnvironment(io);
  const sources = new Map<string, UpstreamSource>();
  let hasWarned = false;
  const open = (host: string) =>
    new UpstreamSource({
      ...{ onEvent, via },
      endpointsOf: createSingleEndpointSelector({ url: `http://${host}` }),
      fetch: fetchContent,
      headers: { "cache-control": "only-if-cached" },
      userAgent: `crpe/${VERSION}`,
      timeouts: TIMEOUTS,
      retry: NO_RETRIES,
    });
  // The runtime would send the request to the proxy, which is not in this network.
  const isDirect = (host: string) => {
    const proxy = proxyOf(new URL(`http://${host}`));
    if (proxy !== undefined && !hasWarned) {
      hasWarned = true;
      onProxy(
        `crpes of the network are not used: requests to ${host} would go through the proxy ${proxy}; see NO_PROXY`,
      );
    }
    return proxy === undefined;
  };
  return () => {
    const hosts = list().filter(isDirect);
    for (const host of sources.keys()) if (!hosts.includes(host)) sources.delete(host);
    return hosts.map((host) => {
      const source = sources.get(host) ?? open(host);
      sources.set(host, source);
      return source;
    });
  };
}

/** Sends a request; a response that is not content counts as not having it. */
async function fetchContent(request: Request): Promise<Response> {
  const response = await fetch(request);
  if (STATUSES.includes(response.status)) return response;
  await response.body?.cancel();
  return new Response(null, { status: 404 });
}
