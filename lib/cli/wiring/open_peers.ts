import { normalizeHost } from "../../oci/reference.ts";
import { createSingleEndpointSelector } from "../../upstream/endpoints.ts";
import { UpstreamSource } from "../../upstream/upstream_source.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { VERSION } from "../console/version.ts";
import { quoteOperand } from "../console/quote_operand.ts";
import { findCertificateFolders, readHostCertificates, readSystemCertificates } from "./certificates.ts";
import { Credentials } from "./credentials.ts";
import type { UpstreamSettings } from "./open_upstream.ts";
import { readProxyEnvironment } from "./proxy_environment.ts";
import { cannot, UsageError } from "../../oci/error.ts";

// A peer that does not answer is not worth a retry: the upstream is asked instead.
const NO_RETRIES = { maxTries: 1, connectRetries: 0 };
const CONNECT_TIMEOUT = 5000;

/**
 * Opens the other crpes that the settings name. They answer from their stores alone, so that no request comes back.
 *
 * @throws {UsageError} when a URL is not valid
 */
export async function openPeers(settings: Settings, io: Io, options: UpstreamSettings): Promise<UpstreamSource[]> {
  const { peers = [], config } = settings;
  if (peers.length === 0) return [];
  const { warn, onUpstreamEvent: onEvent, via } = options;
  const credentials = await Credentials.open(settings, io, warn);
  const folders = await findCertificateFolders(io);
  const { proxyOf } = readProxyEnvironment(io);
  const hosts = new Map(Object.entries(config.hosts).map(([name, host]) => [normalizeHost(name), host]));
  return await Promise.all(peers.map(async (text) => {
    const { href: url, host } = parsePeer(text, settings.nameOf?.("peer"));
    const configured = hosts.get(normalizeHost(host));
    const entry = { url, ...await readHostCertificates(host, configured, folders) };
    return new UpstreamSource({
      onEvent,
      via,
      endpointsOf: createSingleEndpointSelector(entry, { readRootCerts: () => readSystemCertificates(io) }),
      credentialFor: (login) => credentials.for({ ...login, registryHost: normalizeHost(host) }),
      headers: { "cache-control": "only-if-cached" },
      userAgent: `crpe/${VERSION}`,
      proxyOf,
      timeouts: { connect: CONNECT_TIMEOUT },
      retry: NO_RETRIES,
    });
  }));
}

function parsePeer(text: string, what = "--peer"): URL {
  const url = URL.parse(text);
  const isPlain = url !== null && /^https?:$/.test(url.protocol) && url.pathname === "/" && url.search === "";
  if (isPlain && url.username === "" && url.password === "") return url;
  const shown = quoteOperand(text);
  throw new UsageError(cannot(`use ${what} ${shown}`, "write the URL of a crpe, such as http://10.0.0.5:6060"));
}
