import type { ByteRange } from "../bytes/byte_range.ts";
import { SingleFlight } from "../content/single_flight.ts";
import type { ContentSource, OpenedBlob } from "../content/source.ts";
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

/** What an upstream source is made of. Only the endpoints must be given. */
export interface UpstreamOptions {
  readonly endpointsOf: EndpointSelector;
  /**
   * The credential for a repository, where its endpoint has none of its own; `host` is the endpoint's. The same
   * object each time, as it stands for a login.
   */
  readonly credentialFor?: (host: string, path: string) => Credential | undefined;
  readonly fetch?: RuntimeFetch;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock?: () => number;
  readonly random?: () => number;
  readonly sleep?: Sleep;
  /** Where it is given, hosts that nobody named are refused when they resolve to private addresses. */
  readonly resolveHost?: ResolveHost;
  readonly retry?: Partial<RetryPolicy>;
  readonly timeouts?: Partial<Timeouts>;
  readonly onEvent?: OnUpstreamEvent;
  /** Ends all that is under way. */
  readonly signal?: AbortSignal;
}

/** What asking an endpoint came to. */
export interface EndpointProbe {
  readonly url: string;
  /** Whether there is a login for it. */
  readonly hasCredential: boolean;
  /** Whether it answers (with the login, if there is one); absent where it could not be asked. */
  readonly isOpen?: boolean;
  readonly failure?: RegistryError;
}

/** How a manifest is asked for. */
export interface ManifestOptions {
  /** Whoever asks has something to fall back on: one try, and no long wait. */
  readonly isUrgent?: boolean;
}

const DEFAULT_TIMEOUTS: Timeouts = { connect: 30_000, stall: 30_000 };
const MAX_CLIENTS = 500;
const MAX_RECENT_MANIFESTS = 64;
const MAX_RECENT_BYTES = 8 * 1024 * 1024;

/**
 * The registries of the world as a source. A registry that the selector does not allow is never contacted, and has
 * nothing. Its endpoints are asked in turn until one has what is asked for; what one of them failed to answer is
 * absent only if no other has it, and then the failure is thrown.
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

  /** Tells whether the registry of a repository may be contacted, by its name. */
  allows(repo: string): boolean {
    return this.#endpointsOf(normalizeHost(splitRepository(repo).host)) !== undefined;
  }

  /**
   * Asks each endpoint of a registry whether it is there and takes the login, if there is one, at the same time.
   *
   * @param host as images name it; one that must not be contacted has no endpoints
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
   * Gets the manifest too, in the same request, for the `readManifest` that mostly follows.
   *
   * @throws {RegistryError} `DENIED` (with status 404), `TOOMANYREQUESTS`, `UNAVAILABLE`, `BAD_GATEWAY`
   */
  async resolve(repo: string, tagOrDigest: string): Promise<Descriptor | undefined> {
    return (await this.#fetchManifest(repo, tagOrDigest))?.descriptor;
  }

  /** What a tag stands for now, by HEAD: registries that count requests do not count it. @throws as `resolve` */
  async headManifest(
    repo: string,
    tag: string,
    { isUrgent = false }: ManifestOptions = {},
  ): Promise<Descriptor | undefined> {
    const head = await this.#heading.run(
      `${repo}@${tag} ${isUrgent}`,
      () => this.#ask(repo, (client, path) => headManifest(client, { repo, path, tagOrDigest: tag, isUrgent })),
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
    return await this.#ask(repo, (client, path) => fetchBlobSize(client, { repo, path, digest }));
  }

  /**
   * The body resumes itself and gives exactly the bytes promised, or errors; it does not verify the digest.
   *
   * @throws {RegistryError} as `resolve`, and `RANGE_INVALID`
   */
  async openBlob(
    repo: string,
    digest: Digest,
    range?: ByteRange,
    options: OpenBlobOptions = {},
  ): Promise<OpenedBlob & { readonly host: string } | undefined> {
    return await this.#ask(repo, async (client, path) => {
      const opened = await openUpstreamBlob(client, { repo, path, digest }, { ...options, range });
      return opened && { ...opened, host: client.host };
    });
  }

  async listTags(repo: string): Promise<string[] | undefined> {
    return await this.#ask(repo, (client, path) => fetchTags(client, repo, path));
  }

  /** As `ContentCatalog` has it. */
  async listReferrers(repo: string, digest: Digest): Promise<Descriptor[]> {
    return await this.#ask(repo, (client, path) => fetchReferrers(client, { repo, path }, digest)) ?? [];
  }

  #fetchManifest(repo: string, tagOrDigest: string, isUrgent = false): Promise<FetchedManifest | undefined> {
    return this.#fetching.run(`${repo}@${tagOrDigest} ${isUrgent}`, () =>
      this.#ask(repo, async (client, path) => {
        const fetched = await fetchManifest(client, { repo, path, tagOrDigest, isUrgent });
        if (fetched !== undefined) this.#remember(`${repo}@${fetched.descriptor.digest}`, fetched.bytes);
        return fetched;
      }));
  }

  async #ask<T>(
    repo: string,
    question: (client: EndpointClient, path: string) => Promise<T | undefined>,
  ): Promise<T | undefined> {
    const { host, path } = splitRepository(repo);
    const registryHost = normalizeHost(host);
    let failure: RegistryError | undefined;
    for (const endpoint of this.#endpointsOf(registryHost) ?? []) {
      if (endpoint.mustBePublic && await this.#context.isPrivate(endpoint.url)) continue;
      try {
        const answer = await question(this.#clientOf(registryHost, endpoint, path), path);
        if (answer !== undefined) return answer;
      } catch (error) {
        // A range that lies outside does so everywhere, and a fault of our own is no reason to ask on.
        if (!(error instanceof RegistryError) || error.code === "RANGE_INVALID") throw error;
        if (error.code === "BAD_GATEWAY") {
          this.#context.onEvent?.({ type: "wrong", host: endpoint.url.host, error });
        }
        // A denial reads as a miss; it must not hide that another endpoint could not be asked.
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
    // The newest stays, however large: it is what will be asked for next.
    for (const [oldest, { length }] of this.#recent) {
      const isBounded = this.#recent.size <= MAX_RECENT_MANIFESTS && this.#recentBytes <= MAX_RECENT_BYTES;
      if (isBounded || oldest === key) break;
      this.#recent.delete(oldest);
      this.#recentBytes -= length;
    }
  }
}
