import type { OnUpstreamEvent } from "./events.ts";
import type { Fetch } from "./middleware.ts";
import { toTransportError, TransportError } from "./transport_error.ts";

/** The global `fetch`, as far as it is used here. */
export type RuntimeFetch = (request: Request, init?: { client?: Deno.HttpClient }) => Promise<Response>;

/** What a transport is made of. */
export interface TransportOptions {
  readonly fetch: RuntimeFetch;
  /** Holds the certificate authorities of an endpoint that has its own. */
  readonly client?: Deno.HttpClient | undefined;
  /** How long to wait for the head of an answer, in milliseconds: name, connection, TLS and all. */
  readonly connectTimeout: number;
  readonly onEvent?: OnUpstreamEvent | undefined;
}

/**
 * The innermost `Fetch`: sends one request once, follows no redirect, and waits only so long for the answer's head.
 * It throws `TransportError`, or the reason of the request's own signal.
 */
export function createTransport(options: TransportOptions): Fetch {
  const { fetch, client, connectTimeout, onEvent } = options;
  return async (request) => {
    const { host, pathname: path } = new URL(request.url);
    const { method } = request;
    const late = new AbortController();
    const timer = setTimeout(() => {
      late.abort(new TransportError("timeout", `it did not answer within ${connectTimeout / 1000} s`));
    }, connectTimeout);
    try {
      const signal = AbortSignal.any([request.signal, late.signal]);
      const once = new Request(request, { signal, redirect: "manual" });
      const response = await (client === undefined ? fetch(once) : fetch(once, { client }));
      onEvent?.({ type: "request", host, method, path, status: response.status });
      return response;
    } catch (error) {
      request.signal.throwIfAborted();
      const failure = toTransportError(error);
      onEvent?.({ type: "error", host, method, path, reason: failure.message });
      throw failure;
    } finally {
      clearTimeout(timer);
    }
  };
}
