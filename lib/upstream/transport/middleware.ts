/** The part of the global `fetch` that crpe uses. */
export type RuntimeFetch = (request: Request, init?: { client?: Deno.HttpClient }) => Promise<Response>;

/** Sends one request: the global `fetch`, or a wrapper of it. */
export type Fetch = (request: Request) => Promise<Response>;

/** Wraps a `Fetch` with one concern (authentication, retry, redirects). */
export type Middleware = (next: Fetch) => Fetch;

/** Wraps a `Fetch` in middleware; the first layer is the outermost. */
export function withMiddleware(fetch: Fetch, ...layers: readonly Middleware[]): Fetch {
  return layers.reduceRight((next, layer) => layer(next), fetch);
}

/** Adds a body to a request, opened anew each time that the request is sent. */
export function withBody(open: () => Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>): Middleware {
  return (next) => (request) => {
    const body = open();
    const duplex = body instanceof ReadableStream ? { duplex: "half" } : {};
    return next(new Request(request, { body, ...duplex }));
  };
}
