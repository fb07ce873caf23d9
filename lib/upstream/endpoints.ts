import { DEFAULT_HOST, isRegistryHost, normalizeHost } from "../oci/reference.ts";
import type { Credential } from "./trust/docker_config.ts";
import { isLoopbackHost, isPrivateHost } from "./trust/private_address.ts";

/** Where a registry is asked. */
export interface Endpoint {
  /** Scheme, host and port; a path is put before each repository's: `http://mirror:5000/quay.io`. */
  readonly url: URL;
  readonly credential?: Credential | undefined;
  /** Holds certificate authorities of its own. */
  readonly client?: Deno.HttpClient | undefined;
  /** Nobody named this host: it must not resolve to a private address either. */
  readonly mustBePublic?: boolean;
}

/**
 * The endpoints of a registry, to be asked in turn; `undefined` for a registry that must not be contacted.
 *
 * @param host as `normalizeHost` gives it
 */
export type EndpointSelector = (host: string) => readonly Endpoint[] | undefined;

/** An upstream as flags and configuration name it. */
export interface UpstreamEntry {
  /** The host in image references; `*` is any public one. */
  readonly host: string;
  /** Absent: the host itself, by https. A path is put before each repository's. */
  readonly url?: string | undefined;
  readonly credential?: Credential | undefined;
  /** Certificates of authorities to be trusted besides the usual ones, as PEM. */
  readonly caCerts?: readonly string[] | undefined;
}

/** What a selector is made with. */
export interface EndpointSelectorOptions {
  /** Makes what `fetch` needs for other certificate authorities. */
  readonly createHttpClient?: (options: { caCerts: string[] }) => Deno.HttpClient;
}

/** Public registries that are asked, under their own names, where no upstream is named. */
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

/** The entries that stand where none is given. */
export function listWellKnownUpstreams(): UpstreamEntry[] {
  return WELL_KNOWN_REGISTRIES.map((host) => ({ host }));
}

/**
 * Makes a selector of a list of upstreams. Several entries of one host are asked in their order. `*` allows any host
 * that is a public one by its name; with a URL, it makes that endpoint the mirror of all of those. docker.io has its
 * other names too, and is asked at registry-1.docker.io.
 *
 * @throws {TypeError} when an entry has no usable host or URL
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
    if (!isRegistryHost(host)) throw new TypeError(`Cannot use upstream ${JSON.stringify(entry.host)}: it is no host`);
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
    // A credential cannot be for whoever happens to be asked.
    const direct = open === undefined ? [] : [{ url: new URL(defaultEndpointUrl(host)), client, mustBePublic: true }];
    if (remembered.size >= MAX_ANY_HOSTS) remembered.clear();
    remembered.set(host, [...mirrors, ...direct]);
    return remembered.get(host);
  };
}

/**
 * Makes a selector that sends every name, whatever its host, to one endpoint: the meaning of
 * `REMOTE_DOCKER_ENDPOINT`. The endpoint gets the repository's path without the host (the host in `?ns=`, as
 * containerd's mirrors do), so `quay.io/team/app` and `docker.io/team/app` are the same image there unless it minds
 * `ns`.
 *
 * @throws {TypeError} when the entry has no usable URL
 */
export function createSingleEndpointSelector(
  entry: Omit<UpstreamEntry, "host"> & { readonly url: string },
  options: EndpointSelectorOptions = {},
): EndpointSelector {
  const endpoints = [createEndpoint(entry.url, entry, options)];
  return () => endpoints;
}

/** The URL of a registry that none was given for. Only this machine itself is asked by plain http, as docker does. */
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
  if (!URL.canParse(withScheme)) throw fail("it is no URL");
  const url = new URL(withScheme);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw fail(`${url.protocol} is neither http: nor https:`);
  // Where a URL is shown, in logs and errors, the password would be too.
  if (url.username !== "" || url.password !== "") throw fail("a user name or password belongs into the configuration");
  url.search = url.hash = "";
  return url;
}
