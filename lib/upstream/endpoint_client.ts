import { RegistryError } from "../oci/error.ts";
import { normalizeHost } from "../oci/reference.ts";
import type { AnswerHead, ClientContext, ClientOptions, EndpointRequest, WholeAnswer } from "./client_context.ts";
import { prefixOf } from "./endpoints.ts";
import { awaitResponse } from "./transport/await_response.ts";
import { readBoundedBody } from "./transport/bounded_body.ts";
import { EndpointHealth } from "./transport/endpoint_health.ts";
import { type Fetch, type Middleware, withBody, withMiddleware, withNotice } from "./transport/middleware.ts";
import { RequestLimiter } from "./transport/request_limiter.ts";
import { backoffDelay, withRetry } from "./transport/retry.ts";
import { createTransport, type TransportOptions } from "./transport/send_once.ts";
import { TransportError } from "./transport/transport_error.ts";
import { createConnectionGuard } from "./trust/address_rule.ts";
import { Authenticator } from "./trust/authenticator.ts";
import type { Credential } from "./trust/docker_config.ts";
import { withRedirects } from "./trust/redirect.ts";
import { type Attempt, errorOfResponse, toUpstreamError } from "./upstream_error.ts";

/** Number of connections to an endpoint, unless the configuration states another one. */
const DEFAULT_MAX_CONNECTIONS = 16;

// The time-outs of an urgent request and of a probe, in milliseconds.
const URGENT_TIMEOUT = 3000;
const PROBE_TIMEOUT = 5000;

// How many times a small response is requested when its body is cut off.
const MAX_READS = 3;

// A registry that does not know the parameter `ns` may refuse it with one of these.
const NAMESPACE_REFUSED = [400, 422];

/** Sends requests to one endpoint of a registry, with authentication, retries and redirects. */
export class EndpointClient {
  /** The host of the endpoint, with its port if it has one. */
  readonly host: string;
  readonly context: ClientContext;
  /** Whether the endpoint can be reached, as far as known. */
  readonly health: EndpointHealth;
  readonly #base: URL;
  readonly #prefix: string;
  readonly #canOmitNamespace: boolean;
  readonly #credentialFor: (path: string) => Credential | undefined;
  readonly #wire: TransportOptions;
  readonly #transport: Fetch;
  readonly #isPush: boolean;
  readonly #outer: Middleware;
  readonly #retry: Middleware;
  readonly #retryLimited: Middleware;
  readonly #limiter: RequestLimiter;
  readonly #auth: Authenticator;
  #namespace: string | undefined;

  constructor(options: ClientOptions, context: ClientContext) {
    const { registryHost, endpoint, isOneOfSeveral, credentialFor, isPush = false } = options;
    const { url, client, tokenHosts, isFromPage, maxConnections = DEFAULT_MAX_CONNECTIONS } = endpoint;
    const { now, onEvent, checkAddress, addressClient, timeouts, fetch, link, userAgent, proxyOf } = context;
    this.host = url.host;
    this.context = context;
    this.#base = new URL("/v2/", url);
    this.#prefix = prefixOf(url);
    // A mirror may serve several registries. As containerd does, the `ns` parameter names the requested one.
    const isMirror = normalizeHost(url.host) !== registryHost && registryHost !== "" && endpoint.hasNamespace !== false;
    this.#namespace = isMirror && this.#prefix === "" ? registryHost : undefined;
    // Without the parameter, an endpoint that serves several registries would answer with content of another one.
    this.#canOmitNamespace = endpoint.isShared !== true;
    this.#credentialFor = credentialFor;
    this.#limiter = new RequestLimiter(url.host, maxConnections, timeouts.queue);

    this.#isPush = isPush;
    const wire: TransportOptions = this.#wire = {
      fetch: link?.metered(registryHost, fetch) ?? fetch,
      client,
      connectTimeout: isOneOfSeveral ? Math.min(timeouts.connect, timeouts.connectOfSeveral) : timeouts.connect,
      userAgent,
      proxyOf,
      addressesOf: createConnectionGuard({ registry: url, tokenHosts, isFromPage, checkAddress }),
      addressClient,
      onEvent,
    };
    const transport = createTransport(wire);
    this.health = new EndpointHealth({ origin: url.origin, now, probe: () => this.#probe(wire) });
    this.#transport = withMiddleware(transport, this.health.middleware);
    this.#retry = withRetry({ ...context, policy: context.retry });
    this.#retryLimited = withRetry({ ...context, policy: context.retry, isOnlyLimited: true });
    this.#outer = withRedirects({ registry: url, checkAddress });
    this.#auth = new Authenticator({
      registry: url,
      tokenHosts,
      credentialFor: (repository) => credentialFor(this.#withoutPrefix(repository)),
      tokenFetch: withMiddleware(transport, this.#outer, this.#retry),
      checkAddress,
      isPush,
      now,
      stallTimeout: timeouts.stall,
      onEvent,
    });
  }

  /** Reports whether a credential is configured for a repository, or for the endpoint itself. */
  hasCredential(path = ""): boolean {
    return this.#credentialFor(path) !== undefined;
  }

  /**
   * Waits until a blob may be transferred. The caller disposes of the slot when the transfer has ended.
   *
   * @throws {RegistryError} `UNAVAILABLE` when too many requests wait
   */
  async acquireBlob(signal: AbortSignal): Promise<Disposable> {
    const own = await this.#limiter.acquire("blob", signal);
    try {
      const shared = await this.context.limiter.acquire("blob", signal);
      return {
        [Symbol.dispose]: () => {
          own[Symbol.dispose]();
          shared[Symbol.dispose]();
        },
      };
    } catch (error) {
      own[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Sends a request. It returns a response with status 2xx or a status of `accept`, and `undefined` for 404.
   *
   * @throws {RegistryError} `DENIED`, `TOOMANYREQUESTS`, `UNAVAILABLE`, or `BAD_GATEWAY` for any other response
   */
  async send(request: EndpointRequest): Promise<Response | undefined> {
    const { accept = [], onAnswer } = request;
    let response: Response;
    try {
      response = await this.#exchange(request);
    } catch (error) {
      throw toUpstreamError(error, this.#attempt(request));
    }
    onAnswer?.();
    if (response.ok || accept.includes(response.status)) return response;
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    throw await errorOfResponse(response, this.#attempt(request));
  }

  /** Sends a request and discards the body of the response; see `send`. */
  async sendForHead(request: EndpointRequest): Promise<AnswerHead | undefined> {
    const response = await this.send(request);
    await response?.body?.cancel();
    return response;
  }

  /**
   * Sends a GET and reads the whole response; `undefined` for 404. A response that is cut off is requested again.
   *
   * @throws {RegistryError} as `send`, and `BAD_GATEWAY` when the body is larger than `maxBytes`
   */
  async read(request: EndpointRequest, bound: { maxBytes: number; what: string }): Promise<WholeAnswer | undefined> {
    const { now, sleep, random, retry, timeouts } = this.context;
    for (let reads = 1;; reads++) {
      const response = await this.send(request);
      if (response === undefined) return undefined;
      try {
        const bytes = await readBoundedBody(response, { ...bound, stallTimeout: timeouts.stall, now });
        return { ok: response.ok, headers: response.headers, bytes };
      } catch (error) {
        if (!(error instanceof TransportError) || request.isUrgent || reads >= MAX_READS) {
          throw toUpstreamError(error, this.#attempt(request));
        }
      }
      await sleep(backoffDelay(reads, random, retry), request.signal);
    }
  }

  /**
   * Checks once whether the registry answers, and logs in if a credential is configured.
   *
   * @returns `isOpen`: whether the registry accepted the request. If it is `false`, the registry requires a login and
   *   none is configured; it may still serve public images.
   * @throws {RegistryError} as `send`; `DENIED` when the login is refused
   */
  async ping(): Promise<{ readonly isOpen: boolean }> {
    const attempt = this.#attempt({ action: "reach the registry", path: "" });
    try {
      const url = new URL("/v2/", this.#base);
      const response = await this.#fetchFor("", { isUrgent: true })(this.#createRequest(url, {}));
      if (!response.ok && (response.status !== 401 || attempt.hasCredential)) {
        throw await errorOfResponse(response, attempt);
      }
      await response.body?.cancel();
      // The token server may have issued an anonymous token instead.
      if (attempt.hasCredential && this.#auth.refusedLogin !== undefined) throw this.#auth.refusedLogin;
      return { isOpen: response.ok };
    } catch (error) {
      // A token server that issues no token without a scope may still issue one for an image.
      if (error instanceof RegistryError && error.code === "DENIED" && !attempt.hasCredential) return { isOpen: false };
      throw toUpstreamError(error, attempt);
    }
  }

  /** Returns the URL of a request. */
  urlOf(request: Pick<EndpointRequest, "path" | "resource" | "query">, namespace = this.#namespace): URL {
    const { path, resource, query = {} } = request;
    const name = this.#prefix === "" ? path : `${this.#prefix}/${path}`;
    const url = new URL(`${name}/${resource}`, this.#base);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    if (namespace !== undefined) url.searchParams.set("ns", namespace);
    return url;
  }

  /** Sends a request, and once more without `ns` if the endpoint refuses that parameter, which is remembered. */
  async #exchange(request: EndpointRequest): Promise<Response> {
    const fetch = this.#fetchFor(request.path, request);
    const send = async (url: URL) => {
      const answer = fetch(this.#createRequest(url, request));
      return await (request.isUrgent ? awaitResponse(answer, URGENT_TIMEOUT) : answer);
    };
    const response = await send(request.url ?? this.urlOf(request));
    if (
      request.url !== undefined || this.#namespace === undefined || !this.#canOmitNamespace ||
      !NAMESPACE_REFUSED.includes(response.status)
    ) {
      return response;
    }
    const url = this.urlOf(request);
    url.searchParams.delete("ns");
    const plain = await send(url);
    const [answer, other] = plain.ok ? [plain, response] : [response, plain];
    await other.body?.cancel();
    if (plain.ok) this.#namespace = undefined;
    return answer;
  }

  #createRequest(url: URL, { method = "GET", headers, signal }: Partial<EndpointRequest>): Request {
    const signals = [signal, this.context.signal].filter((each) => each !== undefined);
    const via = this.context.via?.();
    const own = {
      ...this.context.headers,
      ...headers,
      "accept-encoding": "identity",
      ...(via === undefined ? {} : { via }),
    };
    return new Request(url, { method, headers: own, signal: AbortSignal.any(signals), redirect: "manual" });
  }

  #fetchFor(path: string, request: Partial<EndpointRequest>): Fetch {
    const { isUrgent, isOnce, onSlow, hasSlot, body } = request;
    const retry = onSlow === undefined ? this.#retry : this.#retryLimited;
    const name = this.#prefix === "" || path === "" ? path : `${this.#prefix}/${path}`;
    const layers = [this.#outer, this.#auth.forRepository(name), ...(isUrgent || isOnce ? [] : [retry])];
    const transport = body === undefined ? this.#transport : this.#transportOf(body, request);
    const time = isUrgent ? Math.min(URGENT_TIMEOUT, this.#wire.connectTimeout) : this.#wire.connectTimeout;
    const notice = onSlow === undefined ? [] : [withNotice(time / 2, onSlow)];
    return withMiddleware(transport, ...layers, ...(hasSlot ? [] : [this.#withSlot]), ...notice);
  }

  // The body is added last: the other layers may send a request several times, and a body can be sent once.
  #transportOf(body: NonNullable<EndpointRequest["body"]>, { answerTimeout }: Partial<EndpointRequest>): Fetch {
    const send = createTransport({ ...this.#wire, connectTimeout: answerTimeout ?? this.#wire.connectTimeout });
    return withMiddleware(send, this.health.middleware, withBody(body));
  }

  readonly #withSlot: Middleware = (next) => async (request) => {
    using _own = await this.#limiter.acquire("small", request.signal);
    using _shared = await this.context.limiter.acquire("small", request.signal);
    return await next(request);
  };

  async #probe(wire: TransportOptions): Promise<void> {
    const send = createTransport({ ...wire, connectTimeout: Math.min(wire.connectTimeout, PROBE_TIMEOUT) });
    await (await send(this.#createRequest(this.#base, {}))).body?.cancel();
  }

  #withoutPrefix(repository: string): string {
    const prefix = `${this.#prefix}/`;
    return this.#prefix !== "" && repository.startsWith(prefix) ? repository.slice(prefix.length) : repository;
  }

  #attempt({ action, path }: Pick<EndpointRequest, "action" | "path">): Attempt {
    const { now } = this.context;
    const isPush = this.#isPush;
    return {
      action,
      host: this.host,
      hasCredential: this.hasCredential(path),
      withheld: this.#auth.withheld,
      isLoginRefused: this.#auth.refusedLogin !== undefined,
      isPush,
      now,
    };
  }
}
