import type { RuntimeFetch } from "./middleware.ts";
import { toTransportError } from "./transport_error.ts";

/** Returns the HTTP client for requests whose URL has an address in place of the name. It may set `Host`. */
export type AddressClient = () => Deno.HttpClient;

/** What `sendToAddress` sends requests with. */
interface AddressSender {
  readonly fetch: RuntimeFetch;
  readonly addressClient: AddressClient;
  /** See `TransportOptions.proxyOf`. */
  readonly proxyOf?: ((url: URL) => string | undefined) | undefined;
}

/** Maximum number of addresses that are tried for one request, so that a name cannot make crpe scan a network. */
export const MAX_ADDRESSES = 8;

/**
 * Sends a request by plain HTTP to one of the addresses of its host, which is not resolved again. The next address is
 * tried when a connection is refused, or there is no route.
 */
export async function sendToAddress(
  request: Request,
  addresses: readonly string[],
  { fetch, addressClient, proxyOf }: AddressSender,
): Promise<Response> {
  const headers = new Headers(request.headers);
  headers.set("host", new URL(request.url).host);
  const urls = addresses.slice(0, MAX_ADDRESSES).map((address) => {
    const url = new URL(request.url);
    url.hostname = address.includes(":") ? `[${address}]` : address;
    return url;
  });
  // With a proxy for the address, but not for the name (NO_PROXY), only the name is connected to directly.
  if (urls.some((url) => proxyOf?.(url) !== undefined)) return await fetch(request);
  for (let i = 0;; i++) {
    const whole = request.body === null ? request : request.clone();
    try {
      return await fetch(new Request(new Request(urls[i]!, whole), { headers }), { client: addressClient() });
    } catch (error) {
      const { failure } = toTransportError(error);
      if (i + 1 >= urls.length || failure !== "refused" && failure !== "unreachable") throw error;
    }
  }
}
