import type { Listener } from "./listen.ts";

/** What a handler is told of a request's connection. */
export type ConnectionInfo = Deno.ServeHandlerInfo<Deno.NetAddr>;

/** How many connections there may be, and how long one may keep the server waiting. */
export interface ConnectionLimits {
  /** Most connections at a time; fewer where the system does not allow that many open files. */
  readonly max: number;
  /** For the head of the first request, the TLS handshake included, in milliseconds. */
  readonly headTimeout: number;
  /** From an answer to the head of the next request, in milliseconds. */
  readonly idleTimeout: number;
}

/** What an HTTP server is made of. */
export interface HttpServerOptions {
  readonly handler: (request: Request, info: ConnectionInfo) => Response | Promise<Response>;
  /** Makes an answer of what the handler, or the body of an answer, has thrown. */
  readonly onError: (error: unknown) => Response;
  readonly limits: ConnectionLimits;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

/** A connection that is being served. */
interface ServedConnection {
  readonly abort: AbortController;
  readonly served: Deno.HttpServer;
  /** Requests that are not answered to the end. */
  active: number;
  hasAnswered: boolean;
  /** Since when there was none, by the clock. */
  idleSince: number;
}

type ServeOnConnection = (
  connection: Deno.Conn,
  signal: AbortSignal,
  handler: HttpServerOptions["handler"],
  onError: (error: unknown) => Response,
  onListen: () => void,
) => Deno.HttpServer;

const SWEEP_MILLISECONDS = 500;
const LEAST_CONNECTIONS = 16;
// What a failed `accept` waits: mostly there are too many open files, and some will be closed.
const ACCEPT_PAUSE_MILLISECONDS = 50;

/**
 * Serves HTTP on listeners, as `Deno.serve` does, which knows no limits: a connection that does not send a request in time
 * is closed, and when there are too many the one that has been idle longest has to go.
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

  /** @throws {Error} where the runtime cannot do it */
  constructor(listener: Listener, options: HttpServerOptions) {
    const serveOn = findServeOnConnection();
    if (serveOn === undefined) throw new Error("Cannot limit connections: this release of Deno offers no way to do it");
    this.#serveOn = serveOn;
    this.#options = options;
    this.#max = options.limits.max;
    this.#now = options.now ?? (() => performance.now());
    this.finished = this.#finish.promise;
    this.#listener = listener;
    this.#accept(listener);
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MILLISECONDS);
  }

  /** Where it listens. */
  get addr(): Deno.NetAddr {
    return this.#listener.addr;
  }

  /** How many connections there are. */
  get size(): number {
    return this.#connections.size;
  }

  /** Takes connections from another listener from now on; those that there are go on. */
  replaceListener(listener: Listener): void {
    const before = this.#listener;
    this.#listener = listener;
    this.#accept(listener);
    before.close();
  }

  /** Takes no connections any more, and ends those that there are when they have been answered. */
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
        // Closed, or too many files are open; or the client was gone before it was its turn.
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
    const connection: ServedConnection = {
      abort,
      served: this.#serveOn(
        accepted,
        abort.signal,
        (request, info) => {
          this.#begin(connection, info);
          return handler(request, info);
        },
        onError,
        () => {},
      ),
      active: 0,
      hasAnswered: false,
      idleSince: this.#now(),
    };
    this.#connections.add(connection);
    const end = () => {
      this.#connections.delete(connection);
      this.#finishIfEmpty();
    };
    connection.served.finished.then(end, end);
  }

  #begin(connection: ServedConnection, { completed }: ConnectionInfo): void {
    connection.active++;
    const end = () => {
      connection.active--;
      connection.hasAnswered = true;
      connection.idleSince = this.#now();
    };
    completed.then(end, end);
  }

  #sweep(): void {
    const now = this.#now();
    const { headTimeout, idleTimeout } = this.#options.limits;
    for (const { active, hasAnswered, idleSince, abort } of this.#connections) {
      if (active === 0 && now - idleSince >= (hasAnswered ? idleTimeout : headTimeout)) abort.abort();
    }
  }

  // Nobody tells how many files may be open until there are too many. Each pull needs some too, for what it is sent.
  #makeRoom(): void {
    this.#max = Math.max(LEAST_CONNECTIONS, Math.floor(this.#connections.size / 2));
    for (let excess = this.#connections.size - this.#max; excess > 0 && this.#dropIdle(); excess--);
  }

  /** Ends the connection that has waited longest for a request; tells whether there was one. */
  #dropIdle(): boolean {
    let oldest: ServedConnection | undefined;
    for (const connection of this.#connections) {
      if (connection.active > 0 || connection.abort.signal.aborted) continue;
      if (oldest === undefined || connection.idleSince < oldest.idleSince) oldest = connection;
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

function isTooManyFiles(error: unknown): boolean {
  return error instanceof Error && /os error (?:23|24)\b/.test(error.message);
}

// What `node:http` of the runtime itself stands on; it is not a part of the documented interface.
function findServeOnConnection(): ServeOnConnection | undefined {
  const { internal } = Deno as unknown as { internal?: symbol };
  if (internal === undefined) return undefined;
  const internals = (Deno as unknown as Record<symbol, { serveHttpOnConnection?: ServeOnConnection }>)[internal];
  return internals?.serveHttpOnConnection;
}
