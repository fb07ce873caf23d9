import { DEFAULT_HOST, isRegistryHost, normalizeHost } from "../oci/reference.ts";
import type { Credential } from "./trust/docker_config.ts";
import { isLoopbackHost, isPrivateHost } from "./trust/private_address.ts";

/** One URL of an upstream registry. */
export interface Endpoint {
  /** Scheme, host and port. A path is put in front of each repository path: `http://mirror:5000/quay.io`. */
  readonly url: URL;
  readonly credential?: Credential | undefined;
  /** Has the additional certificate authorities of the endpoint. */
  readonly client?: Deno.HttpClient | undefined;
  /** The host is not configured explicitly, so it must not resolve to a private address. */
  readonly mustBePublic?: boolean;
}

/**
 * Returns the endpoints of a registry in the order in which they are tried; `undefined` when the registry must not be
 * contacted.
 *
 * @param host a host normalized by `normalizeHost`
 */
export type EndpointSelector = (host: string) => readonly Endpoint[] | undefined;

/** An upstream from the flags or the configuration. */
export interface UpstreamEntry {
  /** The host in image references; `*` means any public host. */
  readonly host: string;
  /** Default: the host itself, by https. A path is put in front of each repository path. */
  readonly url?: string | undefined;
  readonly credential?: Credential | undefined;
  /** Certificates of additional trusted authorities, in PEM. */
  readonly caCerts?: readonly string[] | undefined;
}

/** Options of an endpoint selector. */
export interface EndpointSelectorOptions {
  /** Creates the HTTP client for additional certificate authorities. */
  readonly createHttpClient?: (options: { caCerts: string[] }) => Deno.HttpClient;
}

/** Public registries that are used under their own names when no upstream is configured. */
export const WELL_KNOWN_REGISTRIES: readonly string[] = [
  DEFAULT_HOST,
  "cgr.dev",
  "codeberg.org",
  "docker.elastic.co",
  "gcr.io",
  "ghcr.io",
  "k8s.gcr.io",
  "lscr.io",
  "mcr.microsoft.com",
  "nvcr.io",
  "public.ecr.aws",
  "quay.io",
  "registry.access.redhat.com",
  "registry.fedoraproject.org",
  "registry.gitlab.com",
  "registry.k8s.io",
  "registry.opensuse.org",
  "registry.redhat.io",
  "registry.suse.com",
  "xpkg.upbound.io",
];

const ANY_HOST = "*";
const MAX_ANY_HOSTS = 500;

/** Returns the default entries, one for each of the well-known registries. */
export function listWellKnownUpstreams(): UpstreamEntry[] {
  return WELL_KNOWN_REGISTRIES.map((host) => ({ host }));
}

/**
 * Creates a selector from a list of upstreams. Several entries of one host are tried in order. The host `*` allows
 * every host whose name is public; with a URL, that endpoint is the mirror of all these hosts. docker.io is also
 * recognized by its other names, and its default endpoint is registry-1.docker.io.
 *
 * @throws {TypeError} when the host or the URL of an entry is not valid
 */
export function createEndpointSelector(
  entries: readonly UpstreamEntry[],
  options: EndpointSelectorOptions = {},
): EndpointSelector {
  const named = new Map<string, Endpoint[]>();
  const others = entries.filter(({ host }) => host === ANY_HOST);
  for (const entry of entries) {
    if (entry.host === ANY_HOST) continue;
    const host = normalizeHost(entry.host);
    if (!isRegistryHost(host)) {
      throw new TypeError(`Cannot use upstream ${JSON.stringify(entry.host)}: it is not a host name`);
    }
    named.set(host, [...named.get(host) ?? [], createEndpoint(entry.url ?? defaultEndpointUrl(host), entry, options)]);
  }
  const mirrors = others.flatMap((entry) => entry.url === undefined ? [] : createEndpoint(entry.url, entry, options));
  const open = others.find(({ url }) => url === undefined);
  const client = open && createClient(open, options);
  const remembered = new Map<string, Endpoint[]>();

  return (host) => {
    const found = named.get(host) ?? remembered.get(host);
    if (found !== undefined) return found;
    if (others.length === 0 || !isRegistryHost(host) || isPrivateHost(host)) return undefined;
    // The credential of the `*` entry is not sent to these hosts: it must not reach an arbitrary server.
    const direct = open === undefined ? [] : [{ url: new URL(defaultEndpointUrl(host)), client, mustBePublic: true }];
    if (remembered.size >= MAX_ANY_HOSTS) remembered.clear();
    remembered.set(host, [...mirrors, ...direct]);
    return remembered.get(host);
  };
}

/**
 * Creates a selector that sends every repository, whatever its host, to one endpoint. This is what
 * `REMOTE_DOCKER_ENDPOINT` means. The endpoint receives the path of the repository without the host, and the host as
 * `?ns=`, as with containerd's mirrors. Unless the endpoint evaluates `ns`, `quay.io/team/app` and
 * `docker.io/team/app` are the same image there.
 *
 * @throws {TypeError} when the URL is not valid
 */
export function createSingleEndpointSelector(
  entry: Omit<UpstreamEntry, "host"> & { readonly url: string },
  options: EndpointSelectorOptions = {},
): EndpointSelector {
  const endpoints = [createEndpoint(entry.url, entry, options)];
  return () => endpoints;
}

/** Returns the default URL of a registry: https, and plain http only for this machine, as docker does. */
export function defaultEndpointUrl(host: string): string {
  if (host === DEFAULT_HOST) return "https://registry-1.docker.io";
  return `${isLoopbackHost(host) ? "http" : "https"}://${host}`;
}

function createEndpoint(
  url: string,
  entry: Omit<UpstreamEntry, "host">,
  options: EndpointSelectorOptions,
): Endpoint {
  return { url: parseEndpointUrl(url), credential: entry.credential, client: createClient(entry, options) };
}

function createClient(
  { caCerts = [] }: Omit<UpstreamEntry, "host">,
  { createHttpClient = Deno.createHttpClient }: EndpointSelectorOptions,
): Deno.HttpClient | undefined {
  return caCerts.length === 0 ? undefined : createHttpClient({ caCerts: [...caCerts] });
}

function parseEndpointUrl(text: string): URL {
  const withScheme = text.includes("://") ? text : `https://${text}`;
  const fail = (reason: string) => new TypeError(`Cannot use the upstream's URL: ${reason}`);
  if (!URL.canParse(withScheme)) throw fail("it is not a URL");
  const url = new URL(withScheme);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw fail(`${url.protocol} is neither http: nor https:`);
  // URLs are shown in logs and error messages, and the password must not be.
  if (url.username !== "" || url.password !== "") {
    throw fail("it has a user name or a password; put them into the configuration");
  }
  url.search = url.hash = "";
  return url;
}
