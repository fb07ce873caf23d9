import { normalizeHost } from "../../oci/reference.ts";
import type { Timeouts } from "../../upstream/client_context.ts";
import {
  createEndpointSelector,
  createSingleEndpointSelector,
  type EndpointSelector,
  listWellKnownUpstreams,
  type UpstreamEntry,
} from "../../upstream/endpoints.ts";
import { MeteredLink } from "../../upstream/link/metered_link.ts";
import type { OnUpstreamEvent } from "../../upstream/transport/events.ts";
import type { RuntimeFetch } from "../../upstream/transport/middleware.ts";
import { sleepByTimer } from "../../upstream/transport/retry.ts";
import { UpstreamSource } from "../../upstream/upstream_source.ts";
import type { Settings } from "../command_line/settings.ts";
import { findHost } from "../command_line/stored_registries.ts";
import type { Io } from "../console/io.ts";
import { VERSION } from "../console/version.ts";
import { findCertificateFolders, readHostCertificates, readSystemCertificates } from "./certificates.ts";
import { Credentials } from "./credentials.ts";
import { LinkLedgerFile } from "./link_ledger.ts";
import { readProxyEnvironment } from "./proxy_environment.ts";
import { cannot, UsageError } from "../../oci/error.ts";

// How long upstream requests are retried while a client waits, in milliseconds: a mirror's client can use other hosts.
const INTERACTIVE_WAIT = 5000;
// How long a request waits for others to the same upstream while a client waits, in milliseconds.
const INTERACTIVE_QUEUE = 60_000;

/** The options of `openUpstream`. */
export interface UpstreamSettings {
  /**
   * Whether clients are waiting: an early error is then better than a long series of retries, and a tag that is due for
   * revalidation is served as it is when its upstream is slow.
   */
  readonly isInteractive?: boolean;
  /** Called with problems that do not stop the command. */
  readonly warn: (message: string) => void;
  readonly onUpstreamEvent?: OnUpstreamEvent;
  /** Returns the `Via` header of requests to upstreams; see `LoopGuard`. */
  readonly via?: () => string;
  /** Sends requests instead of the runtime's `fetch`. */
  readonly fetch?: RuntimeFetch;
  readonly timeouts?: Partial<Timeouts>;
}

/** The allowed upstreams. */
export interface OpenedUpstream {
  readonly source: UpstreamSource;
  /** The named hosts, as in image names; `undefined` when one endpoint serves every name. */
  readonly hosts: readonly string[] | undefined;
  /** What the settings allow the link; absent for no limit. */
  readonly link?: MeteredLink | undefined;
  /** Uses other settings for the next requests. @throws {UsageError} when they are not valid; the old ones then stay */
  readonly reconfigure: (settings: Settings) => Promise<void>;
}

/** Opens the upstreams that the settings allow. It does not check `settings.offline`. */
export async function openUpstream(settings: Settings, io: Io, options: UpstreamSettings): Promise<OpenedUpstream> {
  const { warn, isInteractive, onUpstreamEvent: onEvent, fetch, timeouts, via } = options;
  const open = async (settings: Settings) => ({
    credentials: await Credentials.open(settings, io, warn),
    ...await selectEndpoints(settings, io),
  });
  let current = await open(settings);
  const { proxyOf } = readProxyEnvironment(io);
  const link = settings.link === undefined ? undefined : new MeteredLink({
    limits: settings.link,
    ledger: new LinkLedgerFile(settings.data, warn),
    now: () => performance.now(),
    wallClock: () => Date.now(),
    sleep: sleepByTimer,
  });
  const source = new UpstreamSource({
    onEvent,
    fetch,
    via,
    timeouts: { ...(isInteractive ? { queue: INTERACTIVE_QUEUE } : {}), ...timeouts },
    userAgent: `crpe/${VERSION}`,
    link,
    endpointsOf: (host) => current.endpointsOf(host),
    credentialFor: (login) => current.credentials.for(login),
    proxyOf,
    resolveHost: async (url) => proxyOf(url) === undefined ? await resolveHost(url.hostname) : undefined,
    retry: isInteractive ? { maxWait: INTERACTIVE_WAIT } : undefined,
  });
  const reconfigure = async (changed: Settings) => {
    current = await open(changed);
    source.forgetClients();
  };
  return { source, hosts: current.hosts, link, reconfigure };
}

/**
 * Returns the addresses of a name: those of the DNS, else those that a connection of the runtime would find, such as by mDNS.
 *
 * @throws {Error} when it has none, or the DNS does not answer
 */
export async function resolveHost(name: string): Promise<string[]> {
  const [v4, v6] = await Promise.allSettled([Deno.resolveDns(name, "A"), Deno.resolveDns(name, "AAAA")]);
  if (v4.status === "rejected" && v6.status === "rejected") {
    const { lookup } = await import("node:dns/promises");
    return (await lookup(name, { all: true })).map(({ address }) => address);
  }
  return [v4, v6].flatMap((result) => result.status === "fulfilled" ? result.value : []);
}

async function selectEndpoints(
  settings: Settings,
  io: Io,
): Promise<{ endpointsOf: EndpointSelector } & Pick<OpenedUpstream, "hosts">> {
  const options = { readRootCerts: () => readSystemCertificates(io) };
  const single = singleEndpoint(io);
  if (settings.upstreams.length === 0 && single !== undefined) {
    return { endpointsOf: createSingleEndpointSelector(single, options), hosts: undefined };
  }
  const entries = await listEntries(settings, io);
  const hosts = [...new Set(entries.map(({ host }) => normalizeHost(host)))];
  return { endpointsOf: createEndpointSelector(entries, options), hosts };
}

// The environment variables of the previous generation, which name one upstream for every host.
function singleEndpoint(io: Io): (Omit<UpstreamEntry, "host"> & { url: string }) | undefined {
  for (const prefix of ["", "CUSTOM_"]) {
    const url = io.env(`${prefix}REMOTE_DOCKER_ENDPOINT`);
    if (url === undefined) continue;
    const username = io.env(`${prefix}REMOTE_DOCKER_USERNAME`);
    const password = io.env(`${prefix}REMOTE_DOCKER_PASSWORD`);
    return { url, credential: username && password ? { username, password } : undefined };
  }
  return undefined;
}

async function listEntries(
  { upstreams, config, ...settings }: Settings,
  io: Io,
): Promise<UpstreamEntry[]> {
  const named: UpstreamEntry[] = upstreams.map((text) => parseUpstream(text, settings.nameOf?.("upstream")));
  const ofPage = settings.storedHosts ?? {};
  const given = settings.givenConfig?.hosts ?? {};
  // A configured host is an upstream if it has a URL; a credential alone does not make it one.
  for (const [host, { url }] of Object.entries(config.hosts)) {
    const urls = url === undefined ? [] : [url].flat();
    if (!named.some((entry) => normalizeHost(entry.host) === normalizeHost(host) && entry.url !== undefined)) {
      const isFromPage = findHost(ofPage, host) !== undefined && findHost(given, host) === undefined;
      named.push(...urls.map((url) => ({ host, url, isFromPage })));
    }
  }
  const withUrl = new Set(named.filter(({ url }) => url !== undefined).map(({ host }) => normalizeHost(host)));
  const entries = named.filter(({ host, url }) => url !== undefined || !withUrl.has(normalizeHost(host)));
  const isClosed = settings.isClosed || upstreams.length > 0;
  const rest = isClosed ? [] : listWellKnownUpstreams().filter(({ host }) => !withUrl.has(host));
  const folders = await findCertificateFolders(io);
  const configs = new Map(Object.entries(config.hosts).map(([name, host]) => [normalizeHost(name), host]));
  return await Promise.all([...entries, ...rest].map(async (entry) => {
    const host = configs.get(normalizeHost(entry.host));
    return {
      ...entry,
      ...await readHostCertificates(entry.host, host, folders),
      isInsecure: host?.insecure,
      tokenHosts: host?.["token-hosts"],
      maxConnections: host?.["max-connections"],
      hasNamespace: host?.["no-ns"] === undefined ? undefined : !host["no-ns"],
    };
  }));
}

/** Parses `HOST[=URL]`. @param what the name of the flag or field, for errors */
function parseUpstream(text: string, what = "--upstream"): UpstreamEntry {
  const equals = text.indexOf("=");
  const host = equals < 0 ? text : text.slice(0, equals);
  const url = equals < 0 ? undefined : text.slice(equals + 1);
  if (host === "" || url === "" || host.includes("://")) {
    throw new UsageError(
      // The part before an @ may be a password.
      cannot(
        `use ${what} ${JSON.stringify(text.replace(/[^=/]*@/g, "…@"))}`,
        "write HOST or HOST=URL, such as docker.io=http://mirror:5000",
      ),
    );
  }
  // A port 80 means plain HTTP; where the name is normalized, only the URL still says so.
  return { host, url: url ?? (/^[^:]+:80$/.test(host) ? `http://${host}` : undefined) };
}
