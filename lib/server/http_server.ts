import type { Listener } from "./listen.ts";

/** Information about the connection of a request. */
export interface ConnectionInfo extends Deno.ServeHandlerInfo<Deno.NetAddr> {
  /** The IP address at which the connection was accepted. */
  readonly localAddress: string;
}

/** The maximum number of connections, and their time-outs in milliseconds. */
export interface ConnectionLimits {
  /** Maximum number of concurrent connections; it is lowered when the system does not allow that many open files. */
  readonly max: number;
  /** Until the head of the first request is received. */
  readonly headTimeout: number;
  /** From a response until the head of the next request is received. */
  readonly idleTimeout: number;
  /** When there are too many connections, one whose client has not read for this long may be closed. */
  readonly readTimeout: number;
}

/**
 * Reports what a response is waiting for: the client, which has not read what was sent, or the server, which has
 * nothing to send yet.
 */
export type OnBackpressure = (waitsForClient: boolean) => void;

/** Options of an HTTP server. */
export interface HttpServerOptions {
  /** Handles a request. Until it calls `onBackpressure`, the response counts as waiting for the server. */
  readonly handler: (
    request: Request,
    info: ConnectionInfo,
    onBackpressure: OnBackpressure,
  ) => Response | Promise<Response>;
  /** Creates the response for an error that the handler, or the body of a response, has thrown. */
  readonly onError: (error: unknown) => Response;
  readonly limits: ConnectionLimits;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

/** A connection that is being served. */
interface ServedConnection {
  readonly abort: AbortController;
  readonly served: Deno.HttpServer;
  /** Number of requests whose response is not completely sent. */
  active: number;
  /** Number of these requests that wait for the client to read. */
  waiting: number;
  hasAnswered: boolean;
  /** Time of the last change of state, in milliseconds of the monotonic clock. */
  since: number;
}

type ServeOnConnection = (
  connection: Deno.Conn,
  signal: AbortSignal,
  handler: (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Response | Promise<Response>,
  onError: (error: unknown) => Response,
  onListen: () => void,
) => Deno.HttpServer;

const SWEEP_MILLISECONDS = 500;
const MIN_CONNECTIONS = 16;
// The delay after a failed `accept`. Usually too many files are open, and some of them will be closed.
const ACCEPT_PAUSE_MILLISECONDS = 50;

/**
 * Serves HTTP on a listener, like `Deno.serve`, but with limits. A connection that does not send a request in time is
 * closed. When there are too many connections, the one that has been idle longest is closed, or one whose client has
 * not read for a long time.
 *
 * It cannot end a TLS handshake that the client does not finish, because the runtime keeps such a socket.
 */
export class HttpServer {
  /** Settles when the last connection has ended after `shutdown`. */
  readonly finished: Promise<void>;
  readonly #options: HttpServerOptions;
  readonly #serveOn: ServeOnConnection;
  readonly #now: () => number;
  readonly #connections = new Set<ServedConnection>();
  readonly #finish = Promise.withResolvers<void>();
  readonly #sweeper: ReturnType<typeof setInterval>;
  #max: number;
  #listener: Listener;
  #isStopping = false;

  /** @throws {Error} when the runtime does not support serving a single connection */
  constructor(listener: Listener, options: HttpServerOptions) {
    const serveOn = findServeOnConnection();
    if (serveOn === undefined) throw new Error("Cannot limit connections: this release of Deno does not support it");
    this.#serveOn = serveOn;
    this.#options = options;
    this.#max = options.limits.max;
    this.#now = options.now ?? (() => performance.now());
    this.finished = this.#finish.promise;
    this.#listener = listener;
    this.#accept(listener);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MILLISECONDS);
  }

  /** The address of the listener. */
  get addr(): Deno.NetAddr {
    return this.#listener.addr;
  }

  /** The number of open connections. */
  get size(): number {
    return this.#connections.size;
  }

  /** Accepts new connections from another listener and closes the previous one. Open connections are kept. */
  replaceListener(listener: Listener): void {
    const before = this.#listener;
    this.#listener = listener;
    this.#accept(listener);
    before.close();
  }

  /** Stops accepting connections, and closes each open connection when its pending responses are sent. */
  shutdown(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#listener.close();
    for (const { served } of this.#connections) served.shutdown().catch(() => {});
    this.#finishIfEmpty();
  }

  async #accept(listener: Listener): Promise<void> {
    while (!this.#isStopping && listener === this.#listener) {
      try {
        this.#serve(await listener.accept());
      } catch (error) {
        // The listener is closed, too many files are open, or the client disconnected before it was accepted.
        if (this.#isStopping || listener !== this.#listener) return;
        if (isTooManyFiles(error)) this.#makeRoom();
        await new Promise((resolve) => setTimeout(resolve, ACCEPT_PAUSE_MILLISECONDS));
      }
    }
  }

  #serve(accepted: Deno.Conn): void {
    if (this.#connections.size >= this.#max && !this.#dropIdle()) {
      accepted.close();
      return;
    }
    const abort = new AbortController();
    const { handler, onError } = this.#options;
    const { hostname: localAddress } = accepted.localAddr as Deno.NetAddr;
    const connection: ServedConnection = {
      abort,
      served: this.#serveOn(
        accepted,
        abort.signal,
        (request, info) => handler(request, withLocalAddress(info, localAddress), this.#begin(connection, info)),
        onError,
        () => {},
      ),
      active: 0,
      waiting: 0,
      hasAnswered: false,
      since: this.#now(),
    };
    this.#connections.add(connection);
    const end = () => {
      this.#connections.delete(connection);
      this.#finishIfEmpty();
    };
    connection.served.finished.then(end, end);
  }

  #begin(connection: ServedConnection, { completed }: Pick<ConnectionInfo, "completed">): OnBackpressure {
    connection.active++;
    let isWaiting = false;
    const onBackpressure = (waitsForClient: boolean) => {
      if (waitsForClient !== isWaiting) connection.waiting += waitsForClient ? 1 : -1;
      isWaiting = waitsForClient;
      connection.since = this.#now();
    };
    const end = () => {
      onBackpressure(false);
      connection.active--;
      connection.hasAnswered = true;
    };
    completed.then(end, end);
    return onBackpressure;
  }

  #sweep(): void {
    const now = this.#now();
    const { headTimeout, idleTimeout } = this.#options.limits;
    for (const { active, hasAnswered, since, abort } of this.#connections) {
      if (active === 0 && now - since >= (hasAnswered ? idleTimeout : headTimeout)) abort.abort();
    }
    // The system may allow more open files again.
    if (this.#max < this.#options.limits.max) this.#max++;
  }

  // The limit of open files is unknown until it is reached. Each pull needs open files too, for the content it reads.
  #makeRoom(): void {
    this.#max = Math.max(MIN_CONNECTIONS, Math.floor(this.#connections.size / 2));
    for (let excess = this.#connections.size - this.#max; excess > 0 && this.#dropIdle(); excess--);
  }

  /**
   * Closes the connection that has waited longest for a request. If there is none, it closes the one whose client has
   * not read for the longest time, provided that is longer than `readTimeout`. Returns whether a connection was closed.
   */
  #dropIdle(): boolean {
    let oldest: ServedConnection | undefined;
    const readBefore = this.#now() - this.#options.limits.readTimeout;
    for (const connection of this.#connections) {
      const { active, waiting, since, abort } = connection;
      const isStalled = active > 0 && waiting === active && since <= readBefore;
      if (abort.signal.aborted || (active > 0 && !isStalled)) continue;
      if (oldest === undefined || rankOf(connection) < rankOf(oldest)) oldest = connection;
    }
    oldest?.abort.abort();
    return oldest !== undefined;
  }

  #finishIfEmpty(): void {
    if (!this.#isStopping || this.#connections.size > 0) return;
    clearInterval(this.#sweeper);
    this.#finish.resolve();
  }
}

// The runtime computes the remote address when it is read.
function withLocalAddress(info: Deno.ServeHandlerInfo<Deno.NetAddr>, localAddress: string): ConnectionInfo {
  return {
    localAddress,
    get remoteAddr() {
      return info.remoteAddr;
    },
    get completed() {
      return info.completed;
    },
  };
}

// Connections without a request are closed before those with a response in progress.
function rankOf({ active, since }: ServedConnection): number {
  return active === 0 ? since - Number.MAX_SAFE_INTEGER : since;
}

function isTooManyFiles(error: unknown): boolean {
  return error instanceof Error && /os error (?:23|24)\b/.test(error.message);
}

// The runtime's own `node:http` uses this function. It is not part of the documented API.
function findServeOnConnection(): ServeOnConnection | undefined {
  const { internal } = Deno as unknown as { internal?: symbol };
  if (internal === undefined) return undefined;
  const internals = (Deno as unknown as Record<symbol, { serveHttpOnConnection?: ServeOnConnection }>)[internal];
  return internals?.serveHttpOnConnection;
}
