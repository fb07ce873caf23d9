import type { Endpoint } from "./endpoints.ts";
import type { MeteredLink } from "./link/metered_link.ts";
import type { OnUpstreamEvent } from "./transport/events.ts";
import type { RequestLimiter } from "./transport/request_limiter.ts";
import type { RetryPolicy, Sleep } from "./transport/retry.ts";
import type { OpenBody, RuntimeFetch } from "./transport/middleware.ts";
import type { AddressClient } from "./transport/send_to_address.ts";
import type { AddressCheck } from "./trust/address_check.ts";
import type { Credential } from "./trust/docker_config.ts";

/** The time-outs of requests to an upstream, in milliseconds. */
export interface Timeouts {
  /** Until the head of the response is received; this includes DNS, connecting and TLS. */
  readonly connect: number;
  /** As `connect`, for an endpoint whose upstream has another one that can be tried instead. */
  readonly connectOfSeveral: number;
  /** Until a body makes progress; see `StallGuard`. */
  readonly stall: number;
  /** Until a request that waits for others may be sent. */
  readonly queue: number;
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
  readonly checkAddress: AddressCheck;
  readonly addressClient: AddressClient;
  /** Limits the requests to all endpoints together. */
  readonly limiter: RequestLimiter;
  /** See `UpstreamOptions.userAgent`. */
  readonly userAgent?: string | undefined;
  /** See `UpstreamOptions.via`. */
  readonly via?: (() => string | undefined) | undefined;
  /** See `TransportOptions.proxyOf`. */
  readonly proxyOf?: ((url: URL) => string | undefined) | undefined;
  readonly onEvent?: OnUpstreamEvent | undefined;
  /** See `UpstreamOptions.headers`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Limits what is received from all endpoints together; absent for no limit. */
  readonly link?: MeteredLink | undefined;
  /** Aborts every request. */
  readonly signal?: AbortSignal | undefined;
}

/** What an `EndpointClient` is for. */
export interface ClientOptions {
  /** The host of the image reference: `docker.io`. */
  readonly registryHost: string;
  readonly endpoint: Endpoint;
  /** Whether the upstream has other endpoints. */
  readonly isOneOfSeveral: boolean;
  /** Whether content is pushed: tokens are requested for that too. */
  readonly isPush?: boolean | undefined;
  /**
   * Returns the credential for a repository; called for each request.
   *
   * @param path the repository on its registry, without the prefix of the endpoint; empty for none
   */
  readonly credentialFor: (path: string) => Credential | undefined;
}

/** A request to an endpoint. */
export interface EndpointRequest {
  /** Default: GET. */
  readonly method?: "GET" | "HEAD" | "POST" | "PATCH" | "PUT";
  /** The path of the repository on the registry, without the prefix of the endpoint. */
  readonly path: string;
  /** The resource below the repository: `manifests/latest`. */
  readonly resource: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** The URL, in place of the one that `path`, `resource` and `query` give: that of an upload. */
  readonly url?: URL | undefined;
  /** The body, opened anew for each try. */
  readonly body?: OpenBody | undefined;
  /** Time-out until the head of the response is received, in milliseconds, for a request with a body. */
  readonly answerTimeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The action, for error messages: `read manifest latest of docker.io/library/nginx`. */
  readonly action: string;
  /** The caller has a fall-back, so the request is tried only once and with a short time-out. */
  readonly isUrgent?: boolean | undefined;
  /** The request is not repeated as it is when it fails: the caller asks first what was received. */
  readonly isOnce?: boolean | undefined;
  /**
   * Called when half of the time for an answer has passed; waiting for other requests or for a token is not part of it. The
   * caller has another request to continue with, so that only a rate limit is retried, not a failure.
   */
  readonly onSlow?: (() => void) | undefined;
  /** Called when the head of the response was received. */
  readonly onAnswer?: (() => void) | undefined;
  /** Statuses outside 2xx that are returned instead of thrown. A 404 is never thrown. */
  readonly accept?: readonly number[];
  /** Whether the caller holds a slot of the endpoint for the whole transfer; see `EndpointClient.acquireBlob`. */
  readonly hasSlot?: boolean;
}

/** A response whose body was read completely. */
export interface WholeAnswer {
  /** Whether the status is 2xx, not one of the other accepted statuses. */
  readonly ok: boolean;
  readonly headers: Headers;
  readonly bytes: Uint8Array;
}

/** The head of a response. */
export type AnswerHead = Pick<Response, "ok" | "status" | "headers">;

/**
 * The statuses with which a server refuses a HEAD that it may answer as a GET: redirects that are not followed, storage
 * services with URLs signed for a GET (403), and servers that do not implement HEAD (fault 71).
 */
export const REFUSED_HEAD: readonly number[] = [
  ...[300, 301, 302, 303, 307, 308],
  ...[400, 401, 403, 404, 405, 406, 410, 411, 500, 501, 505],
];
