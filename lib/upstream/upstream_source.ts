import type { ByteRange } from "../bytes/byte_range.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { ContentSource, ListOptions, OpenedBlob, TagPage } from "../content/source.ts";
import { takePage } from "../content/take_page.ts";
import type { Digest } from "../oci/digest.ts";
import { RegistryError } from "../oci/error.ts";
import type { Descriptor } from "../oci/manifest.ts";
import { normalizeHost, splitRepository } from "../oci/reference.ts";
import { fetchBlobSize, type OpenBlobOptions, openUpstreamBlob } from "./blob_request.ts";
import { type ClientContext, EndpointClient, type Timeouts } from "./endpoint_client.ts";
import type { Endpoint, EndpointSelector } from "./endpoints.ts";
import { type FetchedManifest, fetchManifest, headManifest } from "./manifest_request.ts";
import { fetchReferrers } from "./referrer_list.ts";
import { fetchTags } from "./tag_list.ts";
import type { OnUpstreamEvent } from "./transport/events.ts";
import { DEFAULT_RETRY_POLICY, type RetryPolicy, type Sleep, sleepByTimer } from "./transport/retry.ts";
import type { RuntimeFetch } from "./transport/send_once.ts";
import { createAddressCheck, type ResolveHost } from "./trust/address_check.ts";
import type { Credential } from "./trust/docker_config.ts";

/** Options of an `UpstreamSource`. Only `endpointsOf` is required. */
export interface UpstreamOptions {
  readonly endpointsOf: EndpointSelector;
  /**
   * Returns the credential for a repository when its endpoint has none; `host` is the host of the endpoint. It must
   * return the same object each time, because the object identifies the login.
   */
  readonly credentialFor?: (host: string, path: string) => Credential | undefined;
  readonly fetch?: RuntimeFetch;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock?: () => number;
  /** From 0 up to, but not including, 1. */
  readonly random?: () => number;
  readonly sleep?: Sleep;
  /** If set, hosts that are not configured explicitly are refused when they resolve to private addresses. */
  readonly resolveHost?: ResolveHost;
  readonly retry?: Partial<RetryPolicy>;
  readonly timeouts?: Partial<Timeouts>;
  readonly onEvent?: OnUpstreamEvent;
  /** Aborts all requests. */
  readonly signal?: AbortSignal;
}

/** The result of probing an endpoint. */
export interface EndpointProbe {
  readonly url: string;
  /** Whether a credential is configured for the endpoint. */
  readonly hasCredential: boolean;
  /** Whether the endpoint accepts the request (with the credential, if there is one); absent after a failure. */
  readonly isOpen?: boolean;
  readonly failure?: RegistryError;
}

/** Options for requesting a manifest. */
export interface ManifestOptions {
  /** The caller has a fall-back, so the request is tried only once and with a short time-out. */
  readonly isUrgent?: boolean;
}

/** A blob that is being received. */
export interface HostedBlob extends OpenedBlob {
  /** Host that sends it. */
  readonly host: string;
}

const DEFAULT_TIMEOUTS: Timeouts = { connect: 30_000, stall: 30_000 };
const MAX_CLIENTS = 500;
const MAX_RECENT_MANIFESTS = 64;
const MAX_RECENT_BYTES = 8 * 1024 * 1024;

/**
 * Reads content from upstream registries. A registry that the selector does not allow is never contacted; its content
 * is reported as missing. The endpoints of a registry are tried in order until one of them has the content. If none has
 * it and a request to one of them failed, that failure is thrown.
 */
export class UpstreamSource implements ContentSource {
  readonly #endpointsOf: EndpointSelector;
  readonly #credentialFor: (host: string, path: string) => Credential | undefined;
  readonly #context: ClientContext;
  readonly #clients = new Map<string, Map<Credential | undefined, EndpointClient>>();
  readonly #fetching = new SingleFlight<FetchedManifest | undefined>();
  readonly #heading = new SingleFlight<Descriptor | "unknown" | undefined>();
  readonly #recent = new Map<string, Uint8Array>();
  #recentBytes = 0;

  constructor(options: UpstreamOptions) {
    const now = options.now ?? (() => performance.now());
    this.#endpointsOf = options.endpointsOf;
    this.#credentialFor = options.credentialFor ?? (() => undefined);
    this.#context = {
      fetch: options.fetch ?? ((request, init) => fetch(request, init)),
      now,
      wallClock: options.wallClock ?? (() => Date.now()),
      random: options.random ?? (() => Math.random()),
      sleep: options.sleep ?? sleepByTimer,
      retry: { ...DEFAULT_RETRY_POLICY, ...options.retry },
      timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
      isPrivate: createAddressCheck({ resolveHost: options.resolveHost, now }),
      onEvent: options.onEvent,
      signal: options.signal,
    };
  }

  /** Reports whether the registry of a repository may be contacted. Only its name is checked. */
  allows(repo: string): boolean {
    return this.#endpointsOf(normalizeHost(splitRepository(repo).host)) !== undefined;
  }

  /**
   * Checks concurrently whether each endpoint of a registry answers and accepts the login, if there is one.
   *
   * @param host the host of image references. A registry that must not be contacted has no endpoints.
   */
  async probe(host: string): Promise<EndpointProbe[]> {
    const registryHost = normalizeHost(host);
    return await Promise.all((this.#endpointsOf(registryHost) ?? []).map(async (endpoint) => {
      const client = this.#clientOf(registryHost, endpoint, "");
      const hasCredential = client.hasCredential;
      const url = endpoint.url.href.replace(/\/$/, "");
      try {
        return { url, hasCredential, ...await client.ping() };
      } catch (error) {
        if (error instanceof RegistryError) return { url, hasCredential, failure: error };
        throw error;
      }
    }));
  }

  /**
   * Resolves a tag or digest. The request fetches the manifest as well and keeps it for the `readManifest` that usually
   * follows.
   *
   * @throws {RegistryError} `DENIED` (with status 404), `TOOMANYREQUESTS`, `UNAVAILABLE`, `BAD_GATEWAY`
   */
  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return (await this.#fetchManifest(repo, tagOrDigest))?.descriptor;
  }

  /**
   * Resolves a tag with a HEAD, which registries do not count against their rate limit.
   *
   * @throws {RegistryError} as `resolve`
   */
  async headManifest(
    repo: string,
    tag: string,
    { isUrgent = false }: ManifestOptions = {},
  ): Promise<Descriptor | undefined> {
    const head = await this.#heading.run(
      `${repo}@${tag} ${isUrgent}`,
      () => this.#query(repo, (client, path) => headManifest(client, { repo, path, tagOrDigest: tag, isUrgent })),
    );
    return head === "unknown" ? (await this.#fetchManifest(repo, tag, isUrgent))?.descriptor : head;
  }

  async readManifest(
    repo: string,
    digest: Digest,
    { isUrgent = false }: ManifestOptions = {},
  ): Promise<Uint8Array | undefined> {
    return this.#recent.get(`${repo}@${digest}`) ?? (await this.#fetchManifest(repo, digest, isUrgent))?.bytes;
  }

  async statBlob(repo: string, digest: Digest): Promise<number | undefined> {
    return await this.#query(repo, (client, path) => fetchBlobSize(client, { repo, path, digest }));
  }

  /**
   * Opens a blob or a byte range of it. The body resumes after a broken connection and yields exactly the promised
   * number of bytes, or errors; it does not verify the digest.
   *
   * @throws {RegistryError} as `resolve`, and `RANGE_INVALID` when the range is outside the blob
   */
  async openBlob(repo: string, digest: Digest, range?: ByteRange): Promise<HostedBlob | undefined> {
    return await this.openBlobWith(repo, digest, { range });
  }

  /** As `openBlob`, for a caller that knows the size of the blob or may abort the transfer. */
  async openBlobWith(repo: string, digest: Digest, options: OpenBlobOptions): Promise<HostedBlob | undefined> {
    return await this.#query(repo, async (client, path) => {
      const opened = await openUpstreamBlob(client, { repo, path, digest }, options);
      return opened && { ...opened, host: client.host };
    });
  }

  async listTags(repo: string, options: ListOptions = {}): Promise<TagPage | undefined> {
    const all = await this.#query(repo, (client, path) => fetchTags(client, repo, path));
    if (all === undefined) return undefined;
    const { entries, isMore } = takePage(all, options);
    return { tags: entries, isMore };
  }

  /** See `ContentCatalog.listReferrers`. */
  async listReferrers(repo: string, digest: Digest): Promise<Descriptor[]> {
    return await this.#query(repo, (client, path) => fetchReferrers(client, { repo, path }, digest)) ?? [];
  }

  #fetchManifest(repo: string, tagOrDigest: string, isUrgent = false): Promise<FetchedManifest | undefined> {
    return this.#fetching.run(`${repo}@${tagOrDigest} ${isUrgent}`, () =>
      this.#query(repo, async (client, path) => {
        const fetched = await fetchManifest(client, { repo, path, tagOrDigest, isUrgent });
        if (fetched !== undefined) this.#remember(`${repo}@${fetched.descriptor.digest}`, fetched.bytes);
        return fetched;
      }));
  }

  async #query<T>(
    repo: string,
    query: (client: EndpointClient, path: string) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { host, path } = splitRepository(repo);
    const registryHost = normalizeHost(host);
    let failure: RegistryError | undefined;
    for (const endpoint of this.#endpointsOf(registryHost) ?? []) {
      if (endpoint.mustBePublic && await this.#context.isPrivate(endpoint.url)) continue;
      try {
        const answer = await query(this.#clientOf(registryHost, endpoint, path), path);
        if (answer !== undefined) return answer;
      } catch (error) {
        // A range outside the blob is so at every endpoint, and an internal error does not concern the endpoint.
        if (!(error instanceof RegistryError) || error.code === "RANGE_INVALID") throw error;
        if (error.code === "BAD_GATEWAY") {
          this.#context.onEvent?.({ type: "wrong", host: endpoint.url.host, error });
        }
        // A denial means that the content is missing. It must not hide the failure of another endpoint.
        if (failure === undefined || failure.code === "DENIED") failure = error;
      }
    }
    if (failure !== undefined) throw failure;
    return undefined;
  }

  #clientOf(registryHost: string, endpoint: Endpoint, path: string): EndpointClient {
    const credential = endpoint.credential ?? this.#credentialFor(normalizeHost(endpoint.url.host), path);
    const key = `${registryHost} ${endpoint.url.href}`;
    let clients = this.#clients.get(key);
    if (clients === undefined) {
      if (this.#clients.size >= MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value!);
      this.#clients.set(key, clients = new Map());
    }
    let client = clients.get(credential);
    if (client === undefined) {
      client = new EndpointClient(registryHost, { ...endpoint, credential }, this.#context);
      clients.set(credential, client);
    }
    return client;
  }

  #remember(key: string, bytes: Uint8Array): void {
    this.#recentBytes += bytes.length - (this.#recent.get(key)?.length ?? 0);
    this.#recent.delete(key);
    this.#recent.set(key, bytes);
    // The newest manifest is always kept, because it is likely to be requested next.
    for (const [oldest, { length }] of this.#recent) {
      const isBounded = this.#recent.size <= MAX_RECENT_MANIFESTS && this.#recentBytes <= MAX_RECENT_BYTES;
      if (isBounded || oldest === key) break;
      this.#recent.delete(oldest);
      this.#recentBytes -= length;
    }
  }
}
