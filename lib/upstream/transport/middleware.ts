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

/** Opens the body of a request, from its start. */
export type OpenBody = () => Uint8Array<ArrayBuffer> | Promise<ReadableStream<Uint8Array>>;

/** Adds a body to a request, opened anew each time that the request is sent. */
export function withBody(open: OpenBody): Middleware {
  return (next) => async (request) => {
    const body = await open();
    const duplex = body instanceof ReadableStream ? { duplex: "half" } : {};
    return await next(new Request(request, { body, ...duplex }));
  };
}

/** Calls a function when a request was not answered after a time, in milliseconds. */
export function withNotice(milliseconds: number, onSlow: () => void): Middleware {
  return (next) => async (request) => {
    const timer = setTimeout(onSlow, milliseconds);
    try {
      return await next(request);
    } finally {
      clearTimeout(timer);
    }
  };
}
