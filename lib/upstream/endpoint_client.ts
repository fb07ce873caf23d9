import { RegistryError } from "../oci/error.ts";
import { normalizeHost } from "../oci/reference.ts";
import type { Endpoint } from "./endpoints.ts";
import { readBoundedBody } from "./transport/bounded_body.ts";
import type { OnUpstreamEvent } from "./transport/events.ts";
import { type Fetch, withMiddleware } from "./transport/middleware.ts";
import { backoffDelay, type RetryPolicy, type Sleep, withRetry } from "./transport/retry.ts";
import { createTransport, type RuntimeFetch } from "./transport/send_once.ts";
import { TransportError } from "./transport/transport_error.ts";
import type { AddressCheck } from "./trust/address_check.ts";
import { Authenticator } from "./trust/authenticator.ts";
import type { Credential } from "./trust/docker_config.ts";
import { withRedirects } from "./trust/redirect.ts";
import { type Attempt, errorOfResponse, toUpstreamError } from "./upstream_error.ts";

/** The time-outs of requests to an upstream, in milliseconds. */
export interface Timeouts {
  /** Until the head of the response is received; this includes DNS, connecting and TLS. */
  readonly connect: number;
  /** Until a body makes progress; see `StallGuard`. */
  readonly stall: number;
}

/** The dependencies and settings that all endpoints share. */
export interface ClientContext {
  readonly fetch: RuntimeFetch;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  /** From 0 up to, but not including, 1. */
  readonly random: () => number;
  readonly sleep: Sleep;
  readonly retry: RetryPolicy;
  readonly timeouts: Timeouts;
  readonly isPrivate: AddressCheck;
  readonly onEvent?: OnUpstreamEvent | undefined;
  /** Aborts every request. */
  readonly signal?: AbortSignal | undefined;
}

/** A request to an endpoint. */
export interface EndpointRequest {
  /** Default: GET. */
  readonly method?: "GET" | "HEAD";
  /** The path of the repository on the registry, without the prefix of the endpoint. */
  readonly path: string;
  /** The resource below the repository: `manifests/latest`. */
  readonly resource: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** The action, for error messages: `read manifest latest of docker.io/library/nginx`. */
  readonly action: string;
  /** The caller has a fall-back, so the request is tried only once and with a short time-out. */
  readonly isUrgent?: boolean | undefined;
  /** Statuses outside 2xx that are returned instead of thrown. A 404 is never thrown. */
  readonly accept?: readonly number[];
}

/** A response whose body was read completely. */
export interface WholeAnswer {
  /** Whether the status is 2xx, not one of the other accepted statuses. */
  readonly ok: boolean;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

// The time-out of an urgent request, in milliseconds.
const URGENT_TIMEOUT = 3000;

// How many times a small response is requested when its body is cut off.
const MAX_READS = 3;

/** Sends requests to one endpoint of a registry, with authentication, retries and redirects. */
export class EndpointClient {
  /** The host of the endpoint, with its port if it has one. */
  readonly host: string;
  readonly context: ClientContext;
  /** Whether a credential is configured for the endpoint. */
  readonly hasCredential: boolean;
  readonly #base: URL;
  readonly #prefix: string;
  readonly #namespace: string | undefined;
  readonly #fetch: Fetch;
  readonly #fetchOnce: Fetch;
  readonly #auth: Authenticator;

  /** @param registryHost the host of the image reference: `docker.io` */
  constructor(
    registryHost: string,
    endpoint: Endpoint & { credential?: Credential | undefined },
    context: ClientContext,
  ) {
    const { url, credential, client } = endpoint;
    const { now, onEvent, isPrivate, timeouts } = context;
    this.host = url.host;
    this.context = context;
    this.#base = new URL("/v2/", url);
    // Mirror URLs often contain the path of the API, because other tools require it there.
    this.#prefix = url.pathname.replace(/^\/v2(?=\/|$)/, "").replace(/^\/+|\/+$/g, "");
    // A mirror may serve several registries. As containerd does, the `ns` parameter names the requested one.
    const isMirror = normalizeHost(url.host) !== registryHost && registryHost !== "";
    this.#namespace = isMirror && this.#prefix === "" ? registryHost : undefined;
    this.hasCredential = credential !== undefined;

    const transport = createTransport({ fetch: context.fetch, client, connectTimeout: timeouts.connect, onEvent });
    const retry = withRetry({ ...context, policy: context.retry });
    const redirects = withRedirects({ registry: url, isPrivate });
    this.#auth = new Authenticator({
      registry: url,
      credential,
      tokenFetch: withMiddleware(transport, redirects, retry),
      isPrivate,
      now,
      stallTimeout: timeouts.stall,
      onEvent,
    });
    this.#fetchOnce = withMiddleware(transport, redirects, this.#auth.middleware);
    this.#fetch = withMiddleware(transport, redirects, this.#auth.middleware, retry);
  }

  /**
   * Sends a request. It returns a response with status 2xx or a status of `accept`, and `undefined` for 404.
   *
   * @throws {RegistryError} `DENIED`, `TOOMANYREQUESTS`, `UNAVAILABLE`, or `BAD_GATEWAY` for any other response
   */
  async send(request: EndpointRequest): Promise<Response | undefined> {
    const { method = "GET", accept = [], isUrgent = false } = request;
    const signals = [request.signal, this.context.signal].filter((signal) => signal !== undefined);
    const headers = { ...request.headers, "accept-encoding": "identity" };
    const url = this.urlOf(request);
    let response: Response;
    try {
      const attempt = new Request(url, { method, headers, signal: AbortSignal.any(signals), redirect: "manual" });
      response = await (isUrgent ? withinTime(this.#fetchOnce(attempt), URGENT_TIMEOUT) : this.#fetch(attempt));
    } catch (error) {
      throw toUpstreamError(error, this.#attempt(request));
    }
    if (response.ok || accept.includes(response.status)) return response;
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    throw await errorOfResponse(response, this.#attempt(request));
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
    const attempt = this.#attempt({ action: "reach the registry" });
    try {
      const url = new URL("/v2/", this.#base);
      const signals = this.context.signal === undefined ? {} : { signal: this.context.signal };
      const request = new Request(url, { headers: { "accept-encoding": "identity" }, redirect: "manual", ...signals });
      const response = await this.#fetchOnce(request);
      if (!response.ok && (response.status !== 401 || this.hasCredential)) {
        throw await errorOfResponse(response, attempt);
      }
      await response.body?.cancel();
      return { isOpen: response.ok };
    } catch (error) {
      // A token server that issues no token without a scope may still issue one for an image.
      if (error instanceof RegistryError && error.code === "DENIED" && !this.hasCredential) return { isOpen: false };
      throw toUpstreamError(error, attempt);
    }
  }

  /** Returns the URL of a request. */
  urlOf({ path, resource, query = {} }: Pick<EndpointRequest, "path" | "resource" | "query">): URL {
    const name = this.#prefix === "" ? path : `${this.#prefix}/${path}`;
    const url = new URL(`${name}/${resource}`, this.#base);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    if (this.#namespace !== undefined) url.searchParams.set("ns", this.#namespace);
    return url;
  }

  #attempt({ action }: Pick<EndpointRequest, "action">): Attempt {
    const { now } = this.context;
    return { action, host: this.host, hasCredential: this.hasCredential, withheld: this.#auth.withheld, now };
  }
}

/**
 * Waits for a response; one that is received after the time-out is discarded.
 *
 * @throws {TransportError} when the time-out has passed
 */
async function withinTime(answer: Promise<Response>, milliseconds: number): Promise<Response> {
  const timeout = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    timeout.reject(new TransportError("timeout", `it did not answer within ${milliseconds / 1000} s`));
    answer.then((response) => response.body?.cancel()).catch(() => {});
  }, milliseconds);
  try {
    return await Promise.race([answer, timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
