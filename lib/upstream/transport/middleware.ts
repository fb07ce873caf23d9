/** Sends one request: the global `fetch`, or something that stands before it. */
export type Fetch = (request: Request) => Promise<Response>;

/** Wraps a `Fetch` with one concern (authentication, retry, redirects). */
export type Middleware = (next: Fetch) => Fetch;

/** Puts middleware around a `Fetch`; the first named is the outermost. */
export function withMiddleware(fetch: Fetch, ...layers: readonly Middleware[]): Fetch {
  return layers.reduceRight((next, layer) => layer(next), fetch);
}
