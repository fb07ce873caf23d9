import type { Timeouts } from "./client_context.ts";
import type { Endpoint, EndpointSelector } from "./endpoints.ts";
import type { MeteredLink } from "./link/metered_link.ts";
import type { OnUpstreamEvent } from "./transport/events.ts";
import type { RetryPolicy, Sleep } from "./transport/retry.ts";
import type { RuntimeFetch } from "./transport/middleware.ts";
import type { ResolveHost } from "./trust/address_check.ts";
import type { Credential } from "./trust/docker_config.ts";

/** A request that may need a login. */
export interface LoginRequest {
  /** The host of the image reference: `docker.io`. */
  readonly registryHost: string;
  readonly endpoint: Endpoint;
  /** The repository on its registry, without the prefix of the endpoint; empty for none. */
  readonly path: string;
}

/** Options of an `UpstreamSource`. Only `endpointsOf` is required. */
export interface UpstreamOptions {
  readonly endpointsOf: EndpointSelector;
  /** Returns the credential for an endpoint that has none itself. It is called for each request. */
  readonly credentialFor?: (login: LoginRequest) => Credential | undefined;
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
  /** Creates the HTTP client for connections to addresses that were checked. */
  readonly createHttpClient?: (options: { readonly allowHost: boolean }) => Deno.HttpClient;
  readonly retry?: Partial<RetryPolicy>;
  readonly timeouts?: Partial<Timeouts>;
  /** The `User-Agent` of all requests, which tells registries who asks. Default: that of the runtime. */
  readonly userAgent?: string;
  /** Returns the `Via` header for a request, by which loops are recognized; `undefined` for none. */
  readonly via?: () => string | undefined;
  /** Returns the proxy that the runtime uses for a URL, to name it in errors. */
  readonly proxyOf?: (url: URL) => string | undefined;
  /** Limits what is received from all endpoints together. */
  readonly link?: MeteredLink | undefined;
  /** Headers of all requests. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Whether content is pushed to the endpoints. */
  readonly isPush?: boolean;
  readonly onEvent?: OnUpstreamEvent;
  /** Aborts all requests. */
  readonly signal?: AbortSignal;
}
