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

/** Time-outs of an upstream, in milliseconds. */
export interface Timeouts {
  /** For the head of an answer: name, connection, TLS and all. */
  readonly connect: number;
  /** For some progress of a body; see `StallGuard`. */
  readonly stall: number;
}

/** What all endpoints share. */
export interface ClientContext {
  readonly fetch: RuntimeFetch;
  readonly now: () => number;
  readonly wallClock: () => number;
  readonly random: () => number;
  readonly sleep: Sleep;
  readonly retry: RetryPolicy;
  readonly timeouts: Timeouts;
  readonly isPrivate: AddressCheck;
  readonly onEvent?: OnUpstreamEvent | undefined;
  /** Ends every request. */
  readonly signal?: AbortSignal | undefined;
}

/** One request to an endpoint. */
export interface EndpointRequest {
  /** GET, unless said otherwise. */
  readonly method?: "GET" | "HEAD";
  /** The repository's path on the registry, without the endpoint's own prefix. */
  readonly path: string;
  /** What of the repository: `manifests/latest`. */
  readonly resource: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** For the error: `read manifest latest of docker.io/library/nginx`. */
  readonly action: string;
  /** Whoever asks has something to fall back on: one try, and no long wait. */
  readonly isUrgent?: boolean | undefined;
  /** Answers to be given back though they are no success; 404 always is. */
  readonly accept?: readonly number[];
}

/** An answer that was read whole. */
export interface WholeAnswer {
  /** Whether it is a success, not one of the other statuses that were to be accepted. */
  readonly ok: boolean;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

// How long an urgent request may take, in milliseconds.
const URGENT_TIMEOUT = 3000;

// How often a small answer that was cut off is asked for again.
const MAX_READS = 3;

/** Asks one endpoint of one registry: with its login, its retries and its redirects. */
export class EndpointClient {
  /** Where the endpoint is, without path. */
  readonly host: string;
  readonly context: ClientContext;
  /** Whether there is a login for it. */
  readonly hasCredential: boolean;
  readonly #base: URL;
  readonly #prefix: string;
  readonly #namespace: string | undefined;
  readonly #fetch: Fetch;
  readonly #fetchOnce: Fetch;
  readonly #auth: Authenticator;

  /** @param registryHost the host of the image reference, `docker.io` */
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
    // People write the API's own path into mirror URLs, as other tools want it there.
    this.#prefix = url.pathname.replace(/^\/v2(?=\/|$)/, "").replace(/^\/+|\/+$/g, "");
    // As containerd has it: a mirror that serves several registries is told which one is meant.
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
   * Sends a request. The answer is a success, or one that `accept` lists, or `undefined` for 404.
   *
   * @throws {RegistryError} `DENIED`, `TOOMANYREQUESTS`, `UNAVAILABLE`, or `BAD_GATEWAY` for any other answer
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
   * Sends a GET and reads the answer whole; `undefined` for 404. One that is cut off is asked for again.
   *
   * @throws {RegistryError} as `send`, and `BAD_GATEWAY` when there are more than `maxBytes`
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
   * Asks whether a registry is there, once, and logs in where there is a login.
   *
   * @returns whether it answers without a login; one that wants one may still give public images
   * @throws {RegistryError} as `send`; `DENIED` where the login is refused
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
      // A token server that gives none without a scope may give one for an image.
      if (error instanceof RegistryError && error.code === "DENIED" && !this.hasCredential) return { isOpen: false };
      throw toUpstreamError(error, attempt);
    }
  }

  /** The URL of a request. */
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

/** An answer, if it comes in time; one that comes later is thrown away. */
async function withinTime(answer: Promise<Response>, milliseconds: number): Promise<Response> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    late.reject(new TransportError("timeout", `it did not answer within ${milliseconds / 1000} s`));
    answer.then((response) => response.body?.cancel()).catch(() => {});
  }, milliseconds);
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
