import { type Address, listen } from "./listen.ts";
import { isLoopback } from "./own_hosts.ts";
import type { Server, ServerHandlers } from "./server.ts";
import type { TlsIdentity } from "./tls_files.ts";

/**
 * Serves HTTP with `Deno.serve`, on a release of the runtime that cannot serve a single connection: the number of
 * connections, their time and their memory have no limits, and a renewed certificate is used after a restart.
 */
export class PlainServer implements Server {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  #active = 0;

  /** @throws {Error} with a readable reason when listening fails */
  constructor(
    address: Address,
    { handler, onError, identity }: ServerHandlers & { identity?: TlsIdentity | undefined },
  ) {
    const answer: Deno.ServeHandler<Deno.NetAddr> = (request, { remoteAddr, completed }) => {
      this.#active++;
      const end = () => this.#active--;
      completed.then(end, end);
      // The runtime does not tell the local address. Only this machine itself can reach a loopback address.
      const localAddress = isLoopback(remoteAddr.hostname) ? remoteAddr.hostname : address.hostname ?? "";
      return handler(
        identity === undefined ? request : withHost(request),
        { remoteAddr, completed, localAddress },
        () => {},
      );
    };
    this.#server = listen(address, (at) => {
      const tls = identity === undefined ? {} : { cert: identity.cert, key: identity.key };
      return Deno.serve({ ...at, ...tls, onError, onListen() {} }, answer);
    });
  }

  get finished(): Promise<void> {
    return this.#server.finished;
  }

  get addr(): Deno.NetAddr {
    return this.#server.addr;
  }

  /** The number of requests in progress: the runtime does not tell that of connections. */
  get size(): number {
    return this.#active;
  }

  /** Does nothing. */
  limit(): void {}

  shutdown(): void {
    this.#server.shutdown().catch(() => {});
  }
}

// A request of HTTP/2 has an authority instead (RFC 9113, 8.3.1), from which the runtime makes the URL.
function withHost(request: Request): Request {
  if (request.headers.has("host")) return request;
  const headers = new Headers(request.headers);
  headers.set("host", URL.parse(request.url)?.host ?? "");
  return new Request(request, { headers });
}
