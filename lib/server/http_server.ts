import type { Listener } from "./listen.ts";

/** What a handler is told of a request's connection. */
export type ConnectionInfo = Deno.ServeHandlerInfo<Deno.NetAddr>;

/** How many connections there may be, and how long one may keep the server waiting. */
export interface ConnectionLimits {
  /** Most connections at a time; fewer where the system does not allow that many open files. */
  readonly max: number;
  /** For the head of the first request, in milliseconds. */
  readonly headTimeout: number;
  /** From an answer to the head of the next request, in milliseconds. */
  readonly idleTimeout: number;
  /** After so long a client that does not read has to go, where there are too many connections; in milliseconds. */
  readonly readTimeout: number;
}

/** Says whose turn it is: the client's, which has been given what there was of the answer, or the server's. */
export type OnBackpressure = (waitsForClient: boolean) => void;

/** What an HTTP server is made of. */
export interface HttpServerOptions {
  /** Without a word by `onBackpressure` it is the server's turn until an answer is sent. */
  readonly handler: (
    request: Request,
    info: ConnectionInfo,
    onBackpressure: OnBackpressure,
  ) => Response | Promise<Response>;
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
  /** Those of them that wait for the client to read. */
  waiting: number;
  hasAnswered: boolean;
  /** When it last changed who has to do something, by the clock. */
  since: number;
}

type ServeOnConnection = (
  connection: Deno.Conn,
  signal: AbortSignal,
  handler: (request: Request, info: ConnectionInfo) => Response | Promise<Response>,
  onError: (error: unknown) => Response,
  onListen: () => void,
) => Deno.HttpServer;

const SWEEP_MILLISECONDS = 500;
const LEAST_CONNECTIONS = 16;
// What a failed `accept` waits: mostly there are too many open files, and some will be closed.
const ACCEPT_PAUSE_MILLISECONDS = 50;

/**
 * Serves HTTP on listeners, as `Deno.serve` does, which knows no limits: a connection that does not send a request in time
 * is closed, and when there are too many the one that has been idle longest has to go, or that has not read for long.
 *
 * What it cannot end is a TLS handshake that the client does not finish: the runtime keeps such a socket.
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
        (request, info) => handler(request, info, this.#begin(connection, info)),
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

  #begin(connection: ServedConnection, { completed }: ConnectionInfo): OnBackpressure {
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
    // What was a full table of files once may have room again.
    if (this.#max < this.#options.limits.max) this.#max++;
  }

  // Nobody tells how many files may be open until there are too many. Each pull needs some too, for what it is sent.
  #makeRoom(): void {
    this.#max = Math.max(LEAST_CONNECTIONS, Math.floor(this.#connections.size / 2));
    for (let excess = this.#connections.size - this.#max; excess > 0 && this.#dropIdle(); excess--);
  }

  /**
   * Ends the connection that has waited longest for a request; where there is none, the one whose client has not read for
   * longest, if that is too long. Tells whether there was one.
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

// Who asks for nothing goes before who is being answered.
function rankOf({ active, since }: ServedConnection): number {
  return active === 0 ? since - Number.MAX_SAFE_INTEGER : since;
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
