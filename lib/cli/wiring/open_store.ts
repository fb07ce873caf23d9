import type { CacheEvent } from "../../cache/blob_cache.ts";
import type { CacheLimit } from "../../cache/cache_limit.ts";
import type { EvictedImage } from "../../cache/evictor.ts";
import { PullThrough } from "../../cache/pull_through.ts";
import type { Digest } from "../../oci/digest.ts";
import { normalizeHost } from "../../oci/reference.ts";
import { DiskStore } from "../../store/disk_store.ts";
import type { Timeouts } from "../../upstream/endpoint_client.ts";
import {
  createEndpointSelector,
  createSingleEndpointSelector,
  type EndpointSelector,
  listWellKnownUpstreams,
  type UpstreamEntry,
  WELL_KNOWN_REGISTRIES,
} from "../../upstream/endpoints.ts";
import type { OnUpstreamEvent } from "../../upstream/transport/events.ts";
import type { RuntimeFetch } from "../../upstream/transport/send_once.ts";
import type { Credential } from "../../upstream/trust/docker_config.ts";
import { UpstreamSource } from "../../upstream/upstream_source.ts";
import type { Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { UsageError } from "../console/usage_error.ts";
import { Credentials } from "./credentials.ts";

/** What the commands work on. */
export interface OpenedStore {
  readonly store: DiskStore;
  /** The store, and behind it the upstreams that may be asked. */
  readonly source: PullThrough;
  /** Writes down what the next start wants to know. */
  close(): Promise<void>;
}

/** How content is opened, and who wants to know what happens. */
export interface OpenStoreOptions {
  /** How large the store may grow, in bytes. Only for who serves: a command that holds a lease evicts nothing. */
  readonly limit?: number | undefined;
  /** Clients wait for what is asked of upstreams: better an answer soon that it cannot be had. */
  readonly isInteractive?: boolean;
  /** Told of what is wrong but need not stop anything. */
  readonly warn: (message: string) => void;
  readonly onUpstreamEvent?: OnUpstreamEvent;
  readonly onCacheEvent?: (event: CacheEvent) => void;
  /** Told of each image that had to go, and how many bytes it gave. */
  readonly onEvict?: (image: EvictedImage, bytes: number) => void;
}

// For how long requests of clients are sent to an upstream again, in milliseconds: a mirror's client has other hosts.
const INTERACTIVE_WAIT = 5000;

/** Opens the store of the data folder, and the upstreams that the settings allow. */
export async function openStore(settings: Settings, io: Io, options: OpenStoreOptions): Promise<OpenedStore> {
  const { warn, onCacheEvent: onEvent } = options;
  const store = new DiskStore(settings.data, { warn });
  const upstream = settings.offline ? undefined : (await openUpstream(settings, io, options)).source;
  // What is too much already goes while the limit is opened, when nothing can be downloading yet.
  const opened: { source?: PullThrough } = {};
  const room = await openRoom(settings.data, options, {
    store,
    isBusy: (digest) => opened.source?.isDownloading(digest) ?? false,
  });
  const source = opened.source = new PullThrough({
    store,
    upstream,
    space: room,
    tagTtl: settings.tagTtl,
    warn,
    ...(onEvent === undefined ? {} : { onEvent }),
  });
  return { store, source, close: async () => await room?.close() };
}

async function openRoom(
  root: string,
  { warn, onEvict, limit }: OpenStoreOptions,
  users: { store: DiskStore; isBusy: (digest: Digest) => boolean },
): Promise<CacheLimit | undefined> {
  if (limit === undefined) return undefined;
  // Only who limits the cache pays for what it takes.
  const { openCacheLimit } = await import("./open_cache_limit.ts");
  return await openCacheLimit({ root, limit, warn, ...users, ...(onEvict === undefined ? {} : { onEvict }) });
}

/** How upstreams are opened. */
export interface UpstreamSettings extends Pick<OpenStoreOptions, "isInteractive" | "warn" | "onUpstreamEvent"> {
  /** Sends requests in place of the runtime's. */
  readonly fetch?: RuntimeFetch;
  readonly timeouts?: Partial<Timeouts>;
}

/** The upstreams that may be asked. */
export interface OpenedUpstream {
  readonly source: UpstreamSource;
  /** The names, in images, of those that are named; `undefined`: one endpoint stands for every name. */
  readonly hosts: readonly string[] | undefined;
}

/** Opens the upstreams that the settings allow, whether or not they say that none is to be contacted. */
export async function openUpstream(settings: Settings, io: Io, options: UpstreamSettings): Promise<OpenedUpstream> {
  const { warn, isInteractive, onUpstreamEvent: onEvent, fetch, timeouts } = options;
  const credentials = await Credentials.read(settings.config, io, warn);
  const { endpointsOf, hosts } = await selectEndpoints(settings, io, credentials);
  const source = new UpstreamSource({
    ...(onEvent === undefined ? {} : { onEvent }),
    ...(fetch === undefined ? {} : { fetch }),
    ...(timeouts === undefined ? {} : { timeouts }),
    endpointsOf,
    credentialFor: (host, path) => credentials.fromFiles(host, path),
    resolveHost,
    ...(isInteractive ? { retry: { maxWait: INTERACTIVE_WAIT } } : {}),
  });
  return { source, hosts };
}

async function resolveHost(name: string): Promise<string[]> {
  const [v4, v6] = await Promise.allSettled([Deno.resolveDns(name, "A"), Deno.resolveDns(name, "AAAA")]);
  return [v4, v6].flatMap((result) => result.status === "fulfilled" ? result.value : []);
}

async function selectEndpoints(
  settings: Settings,
  io: Io,
  credentials: Credentials,
): Promise<{ endpointsOf: EndpointSelector } & Pick<OpenedUpstream, "hosts">> {
  try {
    const single = singleEndpoint(io);
    if (settings.upstreams.length === 0 && single !== undefined) {
      return { endpointsOf: createSingleEndpointSelector(single), hosts: undefined };
    }
    const entries = await listEntries(settings, credentials);
    const hosts = [...new Set(entries.map(({ host }) => normalizeHost(host)))];
    return { endpointsOf: createEndpointSelector(entries), hosts };
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message, { cause: error });
    throw error;
  }
}

// The earlier generation's way to name one upstream for every name.
function singleEndpoint(io: Io): (Omit<UpstreamEntry, "host"> & { url: string }) | undefined {
  for (const prefix of ["", "CUSTOM_"]) {
    const url = io.env(`${prefix}REMOTE_DOCKER_ENDPOINT`);
    if (url === undefined) continue;
    const username = io.env(`${prefix}REMOTE_DOCKER_USERNAME`);
    const password = io.env(`${prefix}REMOTE_DOCKER_PASSWORD`);
    return { url, ...(username && password ? { credential: { username, password } } : {}) };
  }
  return undefined;
}

async function listEntries(
  { upstreams, config, ...settings }: Settings,
  credentials: Credentials,
): Promise<UpstreamEntry[]> {
  const named = upstreams.map(parseUpstream);
  // A host with an endpoint in the configuration is an upstream; one with a credential alone need not be.
  for (const [host, { url }] of Object.entries(config.hosts)) {
    const urls = url === undefined ? [] : [url].flat();
    if (!named.some((entry) => normalizeHost(entry.host) === normalizeHost(host) && entry.url !== undefined)) {
      named.push(...urls.map((url) => ({ host, url })));
    }
  }
  const withUrl = new Set(named.filter(({ url }) => url !== undefined).map(({ host }) => normalizeHost(host)));
  const entries = named.filter(({ host, url }) => url !== undefined || !withUrl.has(normalizeHost(host)));
  const isClosed = settings.isClosed || upstreams.length > 0;
  const rest = isClosed ? [] : listWellKnownUpstreams().filter(({ host }) => !withUrl.has(host));
  return await Promise.all([...entries, ...rest].map(async (entry) => ({
    ...entry,
    credential: credentials.configured(entry.host) ?? credentialOfName(entry, credentials),
    caCerts: await credentials.caCertsOf(entry.host),
  })));
}

// A registry of one's own may be reached at an address that differs from its name; its login goes there. The login of a
// public registry does not go to a mirror of it.
function credentialOfName({ host, url }: UpstreamEntry, credentials: Credentials): Credential | undefined {
  const isMirror = url !== undefined && WELL_KNOWN_REGISTRIES.includes(normalizeHost(host));
  return url === undefined || isMirror ? undefined : credentials.fromFiles(host);
}

/** Reads `HOST[=URL]`. */
function parseUpstream(text: string): UpstreamEntry {
  const equals = text.indexOf("=");
  const host = equals < 0 ? text : text.slice(0, equals);
  const url = equals < 0 ? undefined : text.slice(equals + 1);
  if (host === "" || url === "" || host.includes("://")) {
    throw new UsageError(
      // What stands before an @ may be a password.
      `Cannot use --upstream ${
        JSON.stringify(text.replace(/[^=/]*@/g, "…@"))
      }: write HOST or HOST=URL, such as docker.io=http://mirror:5000`,
    );
  }
  return { host, url };
}
