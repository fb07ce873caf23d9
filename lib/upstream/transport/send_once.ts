import { parseRateLimit } from "../../http/rate_limit.ts";
import type { OnUpstreamEvent } from "./events.ts";
import type { Fetch, RuntimeFetch } from "./middleware.ts";
import { type AddressClient, sendToAddress } from "./send_to_address.ts";
import { toTransportError, TransportError } from "./transport_error.ts";

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
  /** Returns the addresses to which a connection must be made; `undefined` if the runtime resolves the name. */
  readonly addressesOf?: ((url: URL) => Promise<readonly string[] | undefined>) | undefined;
  /** Required with `addressesOf`. */
  readonly addressClient?: AddressClient | undefined;
  readonly onEvent?: OnUpstreamEvent | undefined;
}

/**
 * Creates the innermost `Fetch`. It sends a request once, does not follow redirects, and limits the time until the
 * head of the response is received. It throws `TransportError`, or the reason of the request's own signal.
 */
export function createTransport(options: TransportOptions): Fetch {
  const { connectTimeout, userAgent, proxyOf, onEvent } = options;
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
      const response = await send(once, url, options);
      const rateLimit = parseRateLimit(response.headers);
      const limited = rateLimit === undefined ? {} : { rateLimit };
      onEvent?.({ type: "request", host, method, path, status: response.status, ...limited });
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

async function send(request: Request, url: URL, options: TransportOptions): Promise<Response> {
  const { fetch, client, addressesOf, addressClient } = options;
  const addresses = await addressesOf?.(url);
  if (addresses !== undefined && addressClient !== undefined) {
    return await sendToAddress(request, addresses, { ...options, addressClient });
  }
  return await (client === undefined ? fetch(request) : fetch(request, { client }));
}

function withProxy(error: TransportError, proxy: string | undefined): TransportError {
  if (proxy === undefined || error.failure === "closed") return error;
  const { failure, reason, advice, cause } = error;
  const through = `(through the proxy ${proxy})`;
  return advice === undefined
    ? new TransportError(failure, `${reason} ${through}`, { cause })
    : new TransportError(failure, reason, { advice: `${advice} ${through}`, cause });
}
