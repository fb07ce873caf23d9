import { RegistryError } from "../oci/error.ts";
import { normalizeHost, splitRepository } from "../oci/reference.ts";
import type { ClientContext, Timeouts } from "./client_context.ts";
import { EndpointClient } from "./endpoint_client.ts";
import type { Endpoint } from "./endpoints.ts";
import { QueryOutcome } from "./query_outcome.ts";
import { RequestLimiter } from "./transport/request_limiter.ts";
import { DEFAULT_RETRY_POLICY, sleepByTimer } from "./transport/retry.ts";
import { createAddressCheck } from "./trust/address_check.ts";
import type { UpstreamOptions } from "./upstream_options.ts";

/** An endpoint of an upstream, and the client for it. */
interface PooledEndpoint {
  readonly client: EndpointClient;
  readonly endpoint: Endpoint;
}

/** Asks an endpoint about a repository, given as its path on the registry; `undefined`: it does not have the content. */
type EndpointQuery<T> = (client: EndpointClient, path: string) => Promise<T | undefined>;

const DEFAULT_TIMEOUTS: Timeouts = { connect: 30_000, connectOfSeveral: 10_000, stall: 30_000, queue: Infinity };
/** At all endpoints together. */
const MAX_REQUESTS = 64;
const MAX_CLIENTS = 500;

/** The endpoints of all upstreams, and what they share: the clocks, the limits, and the check of addresses. */
export class EndpointPool {
  readonly context: ClientContext;
  readonly #options: UpstreamOptions;
  readonly #clients = new Map<string, EndpointClient>();

  constructor(options: UpstreamOptions) {
    this.#options = options;
    const now = options.now ?? (() => performance.now());
    const { resolveHost, userAgent, via, proxyOf, onEvent, link, headers, signal } = options;
    const { createHttpClient = Deno.createHttpClient } = options;
    let byAddress: Deno.HttpClient | undefined;
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    this.context = {
      fetch: options.fetch ?? ((request, init) => fetch(request, init)),
      now,
      wallClock: options.wallClock ?? (() => Date.now()),
      random: options.random ?? (() => Math.random()),
      sleep: options.sleep ?? sleepByTimer,
      retry: { ...DEFAULT_RETRY_POLICY, ...options.retry },
      timeouts,
      checkAddress: createAddressCheck({ resolveHost, now }),
      addressClient: () => byAddress ??= createHttpClient({ allowHost: true }),
      limiter: new RequestLimiter("the upstreams", MAX_REQUESTS, timeouts.queue),
      userAgent,
      via,
      proxyOf,
      onEvent,
      link,
      headers,
      signal,
    };
  }

  /** Reports whether a registry may be contacted. @param registryHost a host normalized by `normalizeHost` */
  allows(registryHost: string): boolean {
    return this.#options.endpointsOf(registryHost) !== undefined;
  }

  /** Forgets all clients; the next request creates new ones. */
  forgetClients(): void {
    this.#clients.clear();
  }

  /** Returns the endpoints of a registry, in order. @param registryHost a host normalized by `normalizeHost` */
  clientsOf(registryHost: string): PooledEndpoint[] {
    const endpoints = this.#options.endpointsOf(registryHost) ?? [];
    const isOneOfSeveral = endpoints.length > 1;
    return endpoints.map((endpoint) => {
      const key = `${registryHost} ${endpoint.url.href}`;
      let client = this.#clients.get(key);
      if (client === undefined) {
        if (this.#clients.size >= MAX_CLIENTS) this.#clients.delete(this.#clients.keys().next().value!);
        const credentialFor = (path: string) =>
          endpoint.credential ?? this.#options.credentialFor?.({ registryHost, endpoint, path });
        const { isPush } = this.#options;
        client = new EndpointClient({ registryHost, endpoint, isOneOfSeveral, credentialFor, isPush }, this.context);
        this.#clients.set(key, client);
      }
      return { client, endpoint };
    });
  }

  /**
   * Asks the endpoints of a repository's registry in order until one has the content. An endpoint that could not be
   * reached a short time ago is asked last, and not at all if a client would have to wait for its time-out (fault 75).
   *
   * @returns `undefined` when none of them has it
   * @throws {RegistryError} the failure of a request, when no endpoint has the content and one of them failed
   */
  async query<T>(repo: string, query: EndpointQuery<T>): Promise<T | undefined> {
    const { host, path } = splitRepository(repo);
    const outcome = new QueryOutcome(repo);
    const clients = await this.#publicClientsOf(normalizeHost(host), outcome);
    // There is nothing to do but to wait for the probe of a single endpoint.
    if (clients.length === 1) await clients[0]!.health.checkAgain();
    const failing = new Set(clients.filter((client) => client.health.check() !== undefined));
    for (const client of [...clients.filter((each) => !failing.has(each)), ...failing]) {
      const outage = failing.has(client) ? client.health.check() : undefined;
      if (outage?.isSlow) {
        outcome.addOutage(client, outage);
        continue;
      }
      try {
        const answer = await query(client, path);
        if (answer !== undefined) return answer;
        outcome.addMiss();
      } catch (error) {
        // A range outside the blob is so at every endpoint, and an internal error does not concern the endpoint.
        if (!(error instanceof RegistryError) || error.code === "RANGE_INVALID") throw error;
        if (error.code === "BAD_GATEWAY") this.context.onEvent?.({ type: "wrong", host: client.host, error });
        outcome.addFailure(error);
      }
    }
    outcome.throwFailure(this.context.now());
    return undefined;
  }

  async #publicClientsOf(registryHost: string, outcome: QueryOutcome): Promise<EndpointClient[]> {
    const allowed: EndpointClient[] = [];
    for (const { client, endpoint } of this.clientsOf(registryHost)) {
      const address = endpoint.mustBePublic ? await this.context.checkAddress(endpoint.url) : undefined;
      if (address !== undefined && address.class !== "public") continue;
      if (address?.isResolved === false) outcome.addUnresolved(client);
      else allowed.push(client);
    }
    return allowed;
  }
}
