import type { OnUpstreamEvent } from "./events.ts";
import type { Fetch } from "./middleware.ts";
import { toTransportError, TransportError } from "./transport_error.ts";

/** The part of the global `fetch` that crpe uses. */
export type RuntimeFetch = (request: Request, init?: { client?: Deno.HttpClient }) => Promise<Response>;

/** Options of a transport. */
export interface TransportOptions {
  readonly fetch: RuntimeFetch;
  /** Has the additional certificate authorities of the endpoint. */
  readonly client?: Deno.HttpClient | undefined;
  /** Time-out until the head of the response is received, in milliseconds; includes DNS, connecting and TLS. */
  readonly connectTimeout: number;
  /** The `User-Agent` of the requests; default: that of the runtime. */
  readonly userAgent?: string | undefined;
  /** Returns the proxy that the runtime uses for a URL, as `host:port`, to name it in errors. */
  readonly proxyOf?: ((url: URL) => string | undefined) | undefined;
  readonly onEvent?: OnUpstreamEvent | undefined;
}

/**
 * Creates the innermost `Fetch`. It sends a request once, does not follow redirects, and limits the time until the
 * head of the response is received. It throws `TransportError`, or the reason of the request's own signal.
 */
export function createTransport(options: TransportOptions): Fetch {
  const { fetch, client, connectTimeout, userAgent, proxyOf, onEvent } = options;
  return async (request) => {
    const url = new URL(request.url);
    const { host, pathname: path } = url;
    const { method } = request;
    const timeout = new AbortController();
    const timer = setTimeout(() => {
      timeout.abort(new TransportError("timeout", `it did not answer within ${connectTimeout / 1000} s`));
    }, connectTimeout);
    try {
      const signal = AbortSignal.any([request.signal, timeout.signal]);
      const headers = new Headers(request.headers);
      if (userAgent !== undefined) headers.set("user-agent", userAgent);
      const once = new Request(request, { signal, headers, redirect: "manual" });
      const response = await (client === undefined ? fetch(once) : fetch(once, { client }));
      onEvent?.({ type: "request", host, method, path, status: response.status });
      return response;
    } catch (error) {
      request.signal.throwIfAborted();
      const failure = withProxy(toTransportError(error), proxyOf?.(url));
      onEvent?.({ type: "error", host, method, path, reason: failure.message });
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  };
}

function withProxy(error: TransportError, proxy: string | undefined): TransportError {
  if (proxy === undefined) return error;
  const message = `${error.message} (through the proxy ${proxy})`;
  return new TransportError(error.failure, message, { cause: error.cause });
}
