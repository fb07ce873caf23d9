import type { CacheEvent } from "../../cache/blob_cache.ts";
import type { CacheLimit } from "../../cache/cache_limit.ts";
import type { EvictedImage } from "../../cache/evictor.ts";
import { PullThrough } from "../../cache/pull_through.ts";
import type { Digest } from "../../oci/digest.ts";
import { normalizeHost } from "../../oci/reference.ts";
import { DiskStore } from "../../store/disk_store.ts";
import { LinkedStore } from "../../store/linked_store.ts";
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

/** A store and its upstreams, opened for a command. */
export interface OpenedStore {
  readonly store: DiskStore;
  /** The store with the allowed upstreams behind it. */
  readonly source: PullThrough;
  /** Saves the state of the cache limit for the next start. */
  close(): Promise<void>;
}

/** The options of `openStore`. */
export interface OpenStoreOptions {
  /** Size limit of the store, in bytes. Only for servers: a command that holds a lease evicts nothing. */
  readonly limit?: number | undefined;
  /** Whether clients are waiting: an early error is then better than a long series of retries. */
  readonly isInteractive?: boolean;
  /** Whether a blob counts as held only after its content was hashed once. */
  readonly isHashing?: boolean;
  /** Called with problems that do not stop the command. */
  readonly warn: (message: string) => void;
  readonly onUpstreamEvent?: OnUpstreamEvent;
  readonly onCacheEvent?: (event: CacheEvent) => void;
  /** Called for each evicted image with the bytes that it freed. */
  readonly onEvict?: (image: EvictedImage, bytes: number) => void;
}

// How long upstream requests are retried while a client waits, in milliseconds: a mirror's client can use other hosts.
const INTERACTIVE_WAIT = 5000;

/** Opens the store of the data folder, and the upstreams that the settings allow. */
export async function openStore(settings: Settings, io: Io, options: OpenStoreOptions): Promise<OpenedStore> {
  const { warn, onCacheEvent: onEvent } = options;
  const store = new DiskStore(settings.data, { warn, isHashing: options.isHashing === true });
  const upstream = settings.offline ? undefined : (await openUpstream(settings, io, options)).source;
  // Opening the limit evicts any excess at once. `opened.source` is still unset then, and no download is in progress.
  const opened: { source?: PullThrough } = {};
  const room = await openLimit(settings.data, options, {
    store,
    isBusy: (digest) => opened.source?.isDownloading(digest) ?? false,
  });
  const source = opened.source = new PullThrough({
    // Clients see the content of the repositories that they name. Commands may use all content of the store.
    store: options.isInteractive ? new LinkedStore(store) : store,
    upstream,
    space: room,
    tagTtl: settings.tagTtl,
    warn,
    ...(onEvent === undefined ? {} : { onEvent }),
  });
  return { store, source, close: async () => await room?.close() };
}

async function openLimit(
  root: string,
  { warn, onEvict, limit }: OpenStoreOptions,
  users: { store: DiskStore; isBusy: (digest: Digest) => boolean },
): Promise<CacheLimit | undefined> {
  if (limit === undefined) return undefined;
  // Loaded here so that only a limited cache pays for the modules.
  const { openCacheLimit } = await import("./open_cache_limit.ts");
  return await openCacheLimit({ root, limit, warn, ...users, ...(onEvict === undefined ? {} : { onEvict }) });
}

/** The options of `openUpstream`. */
export interface UpstreamSettings extends Pick<OpenStoreOptions, "isInteractive" | "warn" | "onUpstreamEvent"> {
  /** Sends requests instead of the runtime's `fetch`. */
  readonly fetch?: RuntimeFetch;
  readonly timeouts?: Partial<Timeouts>;
}

/** The allowed upstreams. */
export interface OpenedUpstream {
  readonly source: UpstreamSource;
  /** The named hosts, as in image names; `undefined` when one endpoint serves every name. */
  readonly hosts: readonly string[] | undefined;
}

/** Opens the upstreams that the settings allow. It does not check `settings.offline`. */
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

// The environment variables of the previous generation, which name one upstream for every host.
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
  // A configured host is an upstream if it has a URL; a credential alone does not make it one.
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

// A private registry may have an address that differs from its name: its credential is sent there. The credential of a
// public registry is never sent to a mirror of it.
function credentialOfName({ host, url }: UpstreamEntry, credentials: Credentials): Credential | undefined {
  const isMirror = url !== undefined && WELL_KNOWN_REGISTRIES.includes(normalizeHost(host));
  return url === undefined || isMirror ? undefined : credentials.fromFiles(host);
}

/** Parses `HOST[=URL]`. */
function parseUpstream(text: string): UpstreamEntry {
  const equals = text.indexOf("=");
  const host = equals < 0 ? text : text.slice(0, equals);
  const url = equals < 0 ? undefined : text.slice(equals + 1);
  if (host === "" || url === "" || host.includes("://")) {
    throw new UsageError(
      // The part before an @ may be a password.
      `Cannot use --upstream ${
        JSON.stringify(text.replace(/[^=/]*@/g, "…@"))
      }: write HOST or HOST=URL, such as docker.io=http://mirror:5000`,
    );
  }
  // The name of the host has no default port any more: what the port says is in the URL.
  return { host, url: url ?? (/^[^:]+:80$/.test(host) ? `http://${host}` : undefined) };
}
