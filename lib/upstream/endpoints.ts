import { DEFAULT_HOST, isRegistryHost, normalizeHost } from "../oci/reference.ts";
import type { Credential } from "./trust/docker_config.ts";
import { isLoopbackHost, isPrivateHost } from "./trust/private_address.ts";
import { cannot, UsageError } from "../oci/error.ts";

/** One URL of an upstream registry. */
export interface Endpoint {
  /** Scheme, host and port. A path is put in front of each repository path: `http://mirror:5000/quay.io`. */
  readonly url: URL;
  /** A login that does not depend on the repository, in place of that of the source's `credentialFor`. */
  readonly credential?: Credential | undefined;
  /** Has the certificate authorities of the endpoint, and the certificate that crpe presents to it. */
  readonly client?: Deno.HttpClient | undefined;
  /** The host is not configured explicitly, so it must not resolve to a private address. */
  readonly mustBePublic?: boolean;
  /** See `UpstreamEntry.isFromPage`. */
  readonly isFromPage?: boolean | undefined;
  /** Hosts of token servers that may get the credential, although they do not belong to the registry's domain. */
  readonly tokenHosts?: readonly string[] | undefined;
  /** Maximum number of connections; default: 16. */
  readonly maxConnections?: number | undefined;
  /** Whether a mirror gets the original host as `?ns=`; default: true. */
  readonly hasNamespace?: boolean | undefined;
  /** Whether the endpoint serves several registries, which it tells apart by `?ns=`. */
  readonly isShared?: boolean | undefined;
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
  /** The certificate that crpe presents, and its key, in PEM. */
  readonly clientCertificate?: ClientCertificate | undefined;
  /** Whether plain HTTP may be used if HTTPS does not work, unless the URL states the scheme. */
  readonly isInsecure?: boolean | undefined;
  readonly tokenHosts?: readonly string[] | undefined;
  readonly maxConnections?: number | undefined;
  readonly hasNamespace?: boolean | undefined;
  /**
   * A user of the page has chosen name and URL, and not the configuration. Such an endpoint gets no login because of its
   * name, and is not at a link-local address.
   */
  readonly isFromPage?: boolean | undefined;
}

/** A certificate and its private key, in PEM. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** The options of an HTTP client that endpoints need. */
export interface HttpClientOptions extends Partial<ClientCertificate> {
  readonly caCerts: string[];
}

/** Options of an endpoint selector. */
interface EndpointSelectorOptions {
  /**
   * Reads the certificates that are trusted for every endpoint, besides those of the runtime, in PEM. It is called when
   * the first connection needs them.
   */
  readonly readRootCerts?: () => readonly string[];
  /** Creates an HTTP client with other than the default certificates. */
  readonly createHttpClient?: (options: HttpClientOptions) => Deno.HttpClient;
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
 * @throws {UsageError} when the host, the URL or a certificate of an entry is not valid
 */
export function createEndpointSelector(
  entries: readonly UpstreamEntry[],
  options: EndpointSelectorOptions = {},
): EndpointSelector {
  const named = new Map<string, Endpoint[]>();
  const clients = new HttpClients(options);
  const others = entries.filter(({ host }) => host === ANY_HOST);
  for (const entry of entries) {
    if (entry.host === ANY_HOST) continue;
    const host = normalizeHost(entry.host);
    if (!isRegistryHost(host)) {
      throw new UsageError(cannot(`use upstream ${JSON.stringify(entry.host)}`, "it is not a host name"));
    }
    const urls = urlsOf(entry.url ?? defaultEndpointUrl(host), entry);
    named.set(host, [...named.get(host) ?? [], ...urls.map((url) => createEndpoint(url, entry, clients))]);
  }
  const mirrors = others.flatMap((entry) =>
    entry.url === undefined
      ? []
      : urlsOf(entry.url, entry).map((url) => createEndpoint(url, { ...entry, isShared: true }, clients))
  );
  const open = others.find(({ url }) => url === undefined);
  const remembered = new Map<string, Endpoint[]>();

  return (host) => {
    const found = named.get(host) ?? remembered.get(host);
    if (found !== undefined) return found;
    if (others.length === 0 || !isRegistryHost(host) || isPrivateHost(host)) return undefined;
    // The credential of the `*` entry is not sent to these hosts: it must not reach an arbitrary server.
    const direct = open === undefined ? [] : [{
      url: new URL(defaultEndpointUrl(host)),
      get client() {
        return clients.of(open);
      },
      mustBePublic: true,
    }];
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
 * @throws {UsageError} when the URL is not valid
 */
export function createSingleEndpointSelector(
  entry: Omit<UpstreamEntry, "host"> & { readonly url: string },
  options: EndpointSelectorOptions = {},
): EndpointSelector {
  const endpoints = [createEndpoint(entry.url, { ...entry, isShared: true }, new HttpClients(options))];
  return () => endpoints;
}

/** Returns the default URL of a registry: https, and plain http only for this machine, as docker does. */
export function defaultEndpointUrl(host: string): string {
  if (host === DEFAULT_HOST) return "https://registry-1.docker.io";
  return `${isLoopbackHost(host) ? "http" : "https"}://${host}`;
}

// The URLs of an entry: two for an insecure one without a scheme, of which the second is used if the first fails.
function urlsOf(url: string, { url: given, isInsecure }: Pick<UpstreamEntry, "url" | "isInsecure">): string[] {
  if (!isInsecure || given?.includes("://")) return [url];
  const bare = url.replace(/^https?:\/\//, "");
  return [`https://${bare}`, `http://${bare}`];
}

function createEndpoint(
  url: string,
  entry: Omit<UpstreamEntry, "host"> & Partial<Pick<UpstreamEntry, "host">> & Pick<Endpoint, "isShared">,
  clients: HttpClients,
): Endpoint {
  const { credential, tokenHosts, maxConnections, hasNamespace, isFromPage, isShared } = entry;
  // Certificates that cannot be used are reported at the start.
  if (hasCertificates(entry)) clients.of(entry);
  return {
    url: parseEndpointUrl(url, nameOf(entry)),
    credential,
    tokenHosts,
    maxConnections,
    hasNamespace,
    isFromPage,
    isShared,
    // Created when it is needed: parsing the system's certificates takes a few milliseconds.
    get client() {
      return clients.of(entry);
    },
  };
}

type Certificates = Partial<Pick<UpstreamEntry, "host" | "caCerts" | "clientCertificate">>;

/** The HTTP clients of the entries. An entry has one, and those without certificates of their own share one. */
class HttpClients {
  readonly #options: EndpointSelectorOptions;
  readonly #clients = new Map<Certificates | undefined, Deno.HttpClient | undefined>();
  #rootCerts: readonly string[] | undefined;

  constructor(options: EndpointSelectorOptions) {
    this.#options = options;
  }

  /**
   * Returns the client of an entry; `undefined` for the runtime's default one.
   *
   * @throws {UsageError} when the certificates of the entry cannot be used
   */
  of(entry: Certificates): Deno.HttpClient | undefined {
    const key = hasCertificates(entry) ? entry : undefined;
    if (!this.#clients.has(key)) this.#clients.set(key, this.#create(entry, this.#readRootCerts()));
    return this.#clients.get(key);
  }

  #readRootCerts(): readonly string[] {
    return this.#rootCerts ??= this.#options.readRootCerts?.() ?? [];
  }

  #create(entry: Certificates, rootCerts: readonly string[]): Deno.HttpClient | undefined {
    const { caCerts = [], clientCertificate } = entry;
    const createHttpClient: (options: HttpClientOptions) => Deno.HttpClient = this.#options.createHttpClient ??
      ((options) => Deno.createHttpClient(options as Deno.CreateHttpClientOptions));
    if (rootCerts.length === 0 && !hasCertificates(entry)) return undefined;
    try {
      return createHttpClient({ caCerts: [...rootCerts, ...caCerts], ...clientCertificate });
    } catch (cause) {
      // One certificate of the system that cannot be read must not take away the upstreams.
      if (rootCerts.length > 0) return this.#create(entry, []);
      throw new UsageError(cannot(`use the certificates of ${nameOf(entry)}`, (cause as Error).message), { cause });
    }
  }
}

function hasCertificates({ caCerts = [], clientCertificate }: Certificates): boolean {
  return caCerts.length > 0 || clientCertificate !== undefined;
}

/**
 * Returns the path of an endpoint that is put in front of each repository path, without slashes at its ends. Mirror
 * URLs often contain the path of the API, because other tools require it there.
 */
export function prefixOf({ pathname }: URL): string {
  return pathname.replace(/^\/v2(?=\/|$)/, "").replace(/^\/+|\/+$/g, "");
}

// The entry for every host has no name.
function nameOf({ host }: { readonly host?: string }): string {
  return host === undefined ? "the upstream" : `upstream ${JSON.stringify(host)}`;
}

function parseEndpointUrl(text: string, upstream: string): URL {
  const withScheme = text.includes("://") ? text : `https://${text}`;
  const fail = (reason: string, advice?: string) =>
    new UsageError(cannot(`use the URL of ${upstream}`, reason, advice));
  if (!URL.canParse(withScheme)) throw fail("it is not a URL");
  const url = new URL(withScheme);
  if (url.protocol !== "https:" && url.protocol !== "http:") throw fail(`${url.protocol} is neither http: nor https:`);
  // URLs are shown in logs and error messages, and the password must not be.
  if (url.username !== "" || url.password !== "") {
    throw fail("it has a user name or a password", "put them into the configuration");
  }
  url.search = url.hash = "";
  return url;
}
