import type { CacheEvent } from "../../cache/cache_event.ts";
import type { FoundPeer } from "../../cache/peered_upstream.ts";
import { DigestMismatchError } from "../../content/verifier.ts";
import { Discovery } from "../../discovery/discovery.ts";
import { openMulticastSocket } from "../../discovery/multicast_socket.ts";
import type { NetworkAddress } from "../../discovery/site_address.ts";
import type { Address } from "../../server/listen.ts";
import type { UpstreamEvent } from "../../upstream/transport/events.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { chooseInterface, type InterfaceEntry } from "../wiring/choose_interface.ts";
import { openFoundPeers } from "../wiring/open_found_peers.ts";
import type { UpstreamSettings } from "../wiring/open_upstream.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The options of `startDiscovery`. */
export interface DiscoverySettings extends Pick<UpstreamSettings, "via" | "onUpstreamEvent"> {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The crpes of the network, for a server. */
export interface StartedDiscovery extends AsyncDisposable {
  /** Lists the crpes that are found at present. */
  readonly list: () => readonly FoundPeer[];
  /** Lists them as addresses with ports. */
  readonly listHosts: () => readonly string[];
  /** Announces this server. @param url its URL @param address where it listens */
  readonly announce: (url: string, address: Address) => void;
  /** Forgets a crpe that sent content which is not right. */
  readonly onCacheEvent: (event: CacheEvent) => void;
}

/**
 * Begins to look for other crpes of the network. A network that cannot be used for now is a warning.
 *
 * @throws {UsageError} when there is no network interface for it, or more than one
 */
export async function startDiscovery(io: Io, options: DiscoverySettings): Promise<StartedDiscovery> {
  const { settings, log, metrics, via, onUpstreamEvent } = options;
  const own = chooseInterface(readInterfaces(), settings.discovery?.interface);
  const warn = (message: string) => log.write("warning", message);
  const discovery = await Discovery.start({
    own,
    open: openMulticastSocket,
    onChange: (change, host) => log.write("info", change === "found" ? `found crpe ${host}` : `crpe ${host} has left`),
    onIgnored: (reason) => metrics.add("crpe_discovery_ignored_total", 1, { reason }),
    onProblem: ({ message }) => warn(`cannot look for other crpes on ${own.name} (${own.address}): ${message}`),
    after: (milliseconds, action) => {
      const timer = setTimeout(action, milliseconds);
      return () => clearTimeout(timer);
    },
    now: () => performance.now(),
    random: () => crypto.getRandomValues(new Uint32Array(1))[0]! / 2 ** 32,
  }).catch((error: Error) => {
    warn(`other crpes are not looked for: ${error.message}`);
    return undefined;
  });
  const listHosts = () => discovery?.list() ?? [];
  const ban = (host: string | undefined, error: unknown) => {
    if (!(error instanceof DigestMismatchError) || host === undefined || !listHosts().includes(host)) return;
    warn(`crpe ${host} sent content that is not what it should be; it is not used for an hour`);
    discovery?.ban(host);
  };
  const onEvent = (event: UpstreamEvent) => {
    onUpstreamEvent?.(event);
    if (event.type === "wrong") ban(event.host, event.error);
  };
  return {
    list: openFoundPeers(io, { list: listHosts, onProxy: warn, onUpstreamEvent: onEvent, via }),
    listHosts,
    announce(url, address) {
      const reason = whyNotAnnounced(url, address, own);
      if (reason !== undefined) warn(`this server is not announced to other crpes: ${reason}`);
      else discovery?.announce(Number(new URL(url).port || 80));
    },
    onCacheEvent(event) {
      if (event.type === "failed") ban(event.host, event.error);
    },
    [Symbol.asyncDispose]: async () => await discovery?.stop(),
  };
}

function whyNotAnnounced(url: string, { hostname }: Address, own: NetworkAddress): string | undefined {
  if (new URL(url).protocol === "https:") return "they use plain http";
  const isReached = hostname === undefined || ["0.0.0.0", "::", own.address].includes(hostname);
  return isReached ? undefined : `it listens on ${hostname}, and not on ${own.address}`;
}

function readInterfaces(): InterfaceEntry[] {
  try {
    return Deno.networkInterfaces();
  } catch {
    // Android does not let programs list them, nor does a service that may not use AF_NETLINK.
    throw new UsageError(cannot("use --discover", "the system does not tell which network interfaces there are"));
  }
}
