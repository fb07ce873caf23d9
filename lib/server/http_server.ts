import type { MemoryBudget } from "../bytes/memory_budget.ts";
import { pause } from "../bytes/pause.ts";
import { cannot, RegistryError } from "../oci/error.ts";
import { respondError } from "../registry/answer.ts";
import { type ConnectionLimits, ConnectionTable } from "./connection_table.ts";
import type { ServedConnection, ShedReason } from "./connection_table.ts";
import { EXTRA_CONNECTIONS } from "./file_limit.ts";
import type { Listener } from "./listen.ts";
import { pathOf } from "./exchange.ts";
import type { ConnectionInfo, ServeConnection } from "./serve_connection.ts";
import type { Server, ServerHandlers } from "./server.ts";
import type { TlsRelay } from "./tls_relay.ts";
import { isTooManyFiles } from "../oci/system_error.ts";

/** Options of an HTTP server. */
export interface HttpServerOptions extends ServerHandlers {
  /** Serves one connection; see `findServeConnection`. */
  readonly serveConnection: ServeConnection;
  readonly limits: ConnectionLimits;
  /** Responses take memory of it until they are sent. */
  readonly memory?: MemoryBudget;
  /** Puts TLS on the connections. */
  readonly tls?: TlsRelay | undefined;
  /** Called when there is one connection more. */
  readonly onConnection?: (() => void) | undefined;
  /** Called when a connection was closed, or a request refused, to stay within the limits. */
  readonly onShed?: ((reason: ShedReason) => void) | undefined;
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

const SWEEP_MILLISECONDS = 500;
// The delay before the next attempt when there is no room, or too many files are open.
const PAUSE_MILLISECONDS = 50;
const CLOSE_MILLISECONDS = 250;
const RETRY_AFTER_SECONDS = 5;

/**
 * Serves HTTP/1.1 on a listener, like `Deno.serve`, but with limits. A connection that does not send a request in time is
 * closed. When there are too many connections, the one that has been idle longest is closed, or one whose client has not
 * read for a long time; a request that has waited long for its response is answered with 503. A few connections more are
 * accepted: they are answered when there is room, and with 503 if there is none in time. Health checks are always
 * answered. All others wait until they are accepted.
 */
export class HttpServer implements Server {
  readonly finished: Promise<void>;
  readonly #options: HttpServerOptions;
  readonly #table: ConnectionTable;
  readonly #served = new Map<ServedConnection, Deno.HttpServer>();
  readonly #finish = Promise.withResolvers<void>();
  readonly #sweeper: ReturnType<typeof setInterval>;
  readonly #listener: Listener;
  #isStopping = false;

  constructor(listener: Listener, options: HttpServerOptions) {
    this.#options = options;
    const { now = () => performance.now(), onShed = () => {} } = options;
    this.#table = new ConnectionTable(options.limits, { now, onShed });
    const { memory } = options;
    const closeOthers = memory?.onShortage;
    // Several servers may share the memory.
    if (memory !== undefined) {
      memory.onShortage = () => {
        closeOthers?.();
        this.#table.closeStalled();
      };
    }
    this.finished = this.#finish.promise;
    this.#listener = listener;
    this.#accept();
    this.#sweeper = setInterval(() => this.#table.sweep(), SWEEP_MILLISECONDS);
  }

  get addr(): Deno.NetAddr {
    return this.#listener.addr;
  }

  get size(): number {
    return this.#table.size;
  }

  limit(max: number): void {
    this.#table.limit(max);
  }

  shutdown(): void {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#listener.close();
    for (const connection of this.#table) {
      const served = this.#served.get(connection);
      // A connection that is not served yet is in its TLS handshake.
      if (served === undefined) this.#table.close(connection);
      else served.shutdown().catch(() => {});
    }
    this.#finishIfEmpty();
  }

  async #accept(): Promise<void> {
    while (!this.#isStopping) {
      try {
        const accepted = await this.#listener.accept();
        while (!this.#hasRoom()) await pause(PAUSE_MILLISECONDS);
        // The runtime closes sockets between turns of this loop. Without a pause, many closed ones would still be open.
        if (this.#table.isFull) await pause(0);
        if (this.#isStopping) accepted.close();
        else this.#serve(accepted).catch(() => {});
      } catch (error) {
        // The listener is closed, too many files are open, or the client disconnected before it was accepted.
        if (this.#isStopping) return;
        if (isTooManyFiles(error)) this.#table.lower();
        await pause(PAUSE_MILLISECONDS);
      }
    }
  }

  #hasRoom(): boolean {
    // The sockets of closed connections are open for some time.
    if (this.#table.closing >= EXTRA_CONNECTIONS) return false;
    return this.#table.extra < EXTRA_CONNECTIONS || this.#table.makeRoom() || this.#table.refuseExtra();
  }

  async #serve(accepted: Deno.TcpConn): Promise<void> {
    const abort = new AbortController();
    let isOver = false;
    const connection = this.#table.add(hostOf(accepted.remoteAddr), () => isOver || abort.abort());
    this.#options.onConnection?.();
    sendAtOnce(accepted);
    try {
      const { tls, onError, serveConnection } = this.#options;
      const secured = await tls?.secure(accepted, abort.signal);
      const info = { localAddress: hostOf(accepted.localAddr), remoteAddr: accepted.remoteAddr as Deno.NetAddr };
      const served = serveConnection(
        secured?.connection ?? accepted,
        abort.signal,
        (request, { completed }) => this.#answer(request, { ...info, completed }, connection),
        onError,
        () => {},
      );
      this.#served.set(connection, served);
      if (this.#isStopping) served.shutdown().catch(() => {});
      await served.finished.catch(() => {});
      await secured?.ended;
    } finally {
      isOver = true;
      this.#served.delete(connection);
      this.#table.delete(connection);
      this.#finishIfEmpty();
    }
  }

  #answer(request: Request, info: ConnectionInfo, connection: ServedConnection): Response | Promise<Response> {
    const onBackpressure = this.#table.begin(connection, info.completed);
    if (connection.isClosed) return unavailable(request.method);
    const pending: PendingRequest = {
      // Read now, because the runtime releases a request when its response is sent.
      method: request.method,
      connection,
      completed: info.completed,
      handle: () => this.#options.handler(request, info, onBackpressure),
    };
    if (this.#table.isCrowded(connection)) return this.#answerOneOfMany(pending);
    return connection.isExtra && !isHealthCheck(request) ? this.#answerWithRoom(pending) : this.#handle(pending);
  }

  /** Answers a request on a connection with many concurrent ones, or closes the connection. */
  async #answerOneOfMany(pending: PendingRequest): Promise<Response> {
    const { connection } = pending;
    // Requests that were sent one right after the other seem to be concurrent, until it is known that they were answered.
    await pause(PAUSE_MILLISECONDS);
    if (!connection.isClosed && !this.#table.isCrowded(connection)) return await this.#handle(pending);
    if (!connection.isClosed) this.#options.onShed?.("streams");
    this.#table.close(connection);
    return unavailable(pending.method);
  }

  /** Answers a request on a connection beyond the limit when there is room for it. */
  async #answerWithRoom(pending: PendingRequest): Promise<Response> {
    const { connection, completed } = pending;
    let isRefused = false;
    connection.refuse = () => isRefused = true;
    for (let waited = 0; waited < this.#options.limits.roomTimeout && !isRefused; waited += PAUSE_MILLISECONDS) {
      if (this.#table.admit(connection)) {
        connection.refuse = undefined;
        return await this.#handle(pending);
      }
      await pause(PAUSE_MILLISECONDS);
    }
    // Otherwise it was counted when it was refused.
    if (!connection.isClosed) this.#options.onShed?.("connections");
    // Such a connection is not kept for further requests. The runtime reports a response shortly before it is sent.
    const close = () => pause(CLOSE_MILLISECONDS).then(connection.close);
    completed.then(close, close);
    return unavailable(pending.method);
  }

  async #handle(pending: PendingRequest): Promise<Response> {
    const { method, completed } = pending;
    // Only these requests are refused while they wait: others change something, and may already have done so.
    const isRead = method === "GET" || method === "HEAD";
    const response = await (isRead ? handleRefusable(pending) : pending.handle());
    const { memory, onShed } = this.#options;
    if (memory === undefined || method === "HEAD" || response.status === 304) return response;
    const length = response.headers.get("content-length");
    const lease = await memory.wait(() => memory.takeResponse(length === null ? undefined : Number(length)));
    if (lease === undefined) {
      onShed?.("memory");
      response.body?.cancel().catch(() => {});
      return unavailable(method);
    }
    const release = () => lease[Symbol.dispose]();
    completed.then(release, release);
    return response;
  }

  #finishIfEmpty(): void {
    if (!this.#isStopping || this.#table.size > 0) return;
    clearInterval(this.#sweeper);
    this.#finish.resolve();
  }
}

/** A request whose response has not started. */
interface PendingRequest {
  readonly method: string;
  readonly connection: ServedConnection;
  /** Settles when the response was sent. */
  readonly completed: Promise<void>;
  readonly handle: () => Response | Promise<Response>;
}

/** Handles a request that may be answered with 503 as long as its response has not started. */
function handleRefusable({ method, handle, connection }: PendingRequest): Response | Promise<Response> {
  const response = handle();
  if (!(response instanceof Promise)) return response;
  const refused = Promise.withResolvers<Response>();
  const refuse = () => {
    connection.refuse = undefined;
    response.then(({ body }) => body?.cancel()).catch(() => {});
    refused.resolve(unavailable(method));
  };
  connection.refuse = refuse;
  const end = () => {
    if (connection.refuse === refuse) connection.refuse = undefined;
  };
  response.then(end, end);
  return Promise.race([response, refused.promise]);
}

function unavailable(method: string): Response {
  const failure = cannot("answer now", "there are too many requests", "try again later");
  return respondError(new RegistryError("UNAVAILABLE", failure, { retryAfter: RETRY_AFTER_SECONDS }), method);
}

function isHealthCheck(request: Request): boolean {
  return pathOf(request) === "/healthz";
}

function hostOf(address: Deno.Addr): string {
  return (address as Deno.NetAddr).hostname;
}

// The last part of an answer must not wait for the client's acknowledgement of the part before.
function sendAtOnce(connection: Deno.TcpConn): void {
  try {
    connection.setNoDelay();
  } catch {
    // The client has disconnected, as the next read will report.
  }
}
