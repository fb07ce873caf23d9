import { DEFAULT_MEMORY_BYTES, FIXED_BYTES, memoryBudget } from "../../bytes/memory_budget.ts";
import { Exchange, type SentAnswer } from "../../server/exchange.ts";
import type { ConnectionLimits, ShedReason } from "../../server/connection_table.ts";
import { HttpServer, type HttpServerOptions } from "../../server/http_server.ts";
import { type Address, formatHost, listen } from "../../server/listen.ts";
import { PlainServer } from "../../server/plain_server.ts";
import { findServeConnection } from "../../server/serve_connection.ts";
import type { Server } from "../../server/server.ts";
import { readTlsFiles, type TlsFiles, TlsFilesWatch, type TlsIdentity } from "../../server/tls_files.ts";
import { TlsRelay } from "../../server/tls_relay.ts";
import { FileLimiter } from "./file_limiter.ts";
import type { Log } from "./log.ts";

/** Answers a request. */
export type Handler = (request: Request, exchange: Exchange) => Response | Promise<Response>;

/** A second address, where the same handler answers over TLS. */
export interface SecureListener {
  readonly address: Address;
  readonly identity: TlsIdentity;
  /** Called when it listens, before the first one is reported. */
  readonly onListen: (url: string) => void;
  /** Called when it cannot listen, if the server goes on without it. */
  readonly onProblem?: ((error: Error) => void) | undefined;
}

/** The options of `serve`: TLS, and callbacks for the events of the server. */
export interface ServeOptions {
  /** The files of the certificate and its key; changed files are reloaded. */
  readonly tls?: TlsFiles | undefined;
  readonly secure?: SecureListener | undefined;
  /** Called when the server listens. @param url the server's URL @param countConnections counts those that are open */
  readonly onListen: (url: string, countConnections: () => number) => void;
  /** Called with the reason when a response is aborted after it has started. */
  readonly onAbort: (error: unknown) => void;
  /** Called for each response after it was sent. */
  readonly onSent: (answer: SentAnswer) => void;
  /** Called when a connection was closed, or a request refused, to stay within the limits. */
  readonly onShed: (reason: ShedReason) => void;
  /** A folder that can be opened, to find out how many files may be open. */
  readonly folder: string;
  /** Gets a line when there is room for few clients or their number has no limit, and for a renewed certificate. */
  readonly log: Log;
  /** Limit of the memory for buffers and caches, in bytes; `undefined`: the default. */
  readonly maxMemory: number | undefined;
  /** Called when the server stops. @param patience how long responses in progress may take, in milliseconds */
  readonly onStop: (patience: number) => void;
}

const STOP_MILLISECONDS = 10_000;
const LIMITS: ConnectionLimits = {
  max: 2560,
  headTimeout: 30_000,
  idleTimeout: 120_000,
  patience: 30_000,
  crowdPatience: 1000,
  roomTimeout: 5000,
};
// Of the second address: agents are sent to by a few machines.
const SECURE_MAX = 256;
const FILES_CHECK_MILLISECONDS = 500;
const NO_LIMITS =
  "connections have no limits, and a renewed certificate needs a restart: this release of Deno cannot serve single connections";
const TLS_CHECK_MILLISECONDS = 10_000;

/**
 * Serves until SIGINT or SIGTERM, and then waits up to 10 seconds for responses in progress.
 *
 * @throws {Error} when the server cannot listen on the address; the message gives the reason
 */
export async function serve(address: Address, handler: Handler, options: ServeOptions): Promise<void> {
  let shutdown = () => {};
  let isStopping = false;
  const { log } = options;
  const exit = () => {
    log.flush();
    Deno.exit(0);
  };
  const stop = () => {
    // A second signal ends the process at once.
    if (isStopping) exit();
    isStopping = true;
    options.onStop(STOP_MILLISECONDS);
    shutdown();
    Deno.unrefTimer(setTimeout(exit, STOP_MILLISECONDS));
  };
  // Installed before onListen() runs, because a process waiting for that message may send a signal at once.
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  const identity = options.tls && await readTlsFiles(options.tls);
  if (isStopping) return;
  const serveConnection = findServeConnection();
  if (serveConnection === undefined) log.write("warning", NO_LIMITS);
  memoryBudget.limit = (options.maxMemory ?? DEFAULT_MEMORY_BYTES) - FIXED_BYTES;
  const limiter = new FileLimiter({
    max: { server: LIMITS.max, secure: SECURE_MAX },
    isTls: identity !== undefined,
    open: () => Deno.openSync(options.folder),
    onFewFiles: (message) => log.write("warning", message),
  });
  const common: ServerSettings = {
    serveConnection,
    async handler(request, info, onBackpressure) {
      const exchange = new Exchange(request, info, { onBackpressure, onSent: options.onSent });
      return exchange.count(await handler(request, exchange));
    },
    onError(error) {
      options.onAbort(error);
      return new Response(null, { status: 500 });
    },
    limits: LIMITS,
    memory: memoryBudget,
    onConnection: () => limiter.onConnection(),
    onShed: options.onShed,
  };
  const { server, relay } = openServer(address, identity, common);
  const secure = options.secure && openSecure(options.secure, common);
  shutdown = () => {
    server.shutdown();
    secure?.server.shutdown();
  };
  using watch = options.tls && identity && relay && watchTls(relay, { files: options.tls, identity }, log);
  // SIGHUP checks for a renewed certificate at once, without waiting for the interval.
  if (watch !== undefined) Deno.addSignalListener("SIGHUP", () => watch.check());
  const host = hostOf(address, server);
  options.onListen(`${identity === undefined ? "http" : "https"}://${host}:${server.addr.port}`, () => server.size);
  Deno.unrefTimer(setTimeout(() => limiter.onStarted(server, secure?.server), FILES_CHECK_MILLISECONDS));
  await Promise.all([server.finished, secure?.server.finished]);
  for (const each of [relay, secure?.relay]) each?.[Symbol.dispose]();
}

/** Listens on the second address. */
function openSecure(
  { address, identity, onListen, onProblem }: SecureListener,
  common: ServerSettings,
): OpenedServer | undefined {
  let opened: OpenedServer;
  try {
    opened = openServer(address, identity, { ...common, limits: { ...LIMITS, max: SECURE_MAX } });
  } catch (error) {
    if (onProblem === undefined) throw error;
    onProblem(error as Error);
    return undefined;
  }
  onListen(`https://${hostOf(address, opened.server)}:${opened.server.addr.port}`);
  return opened;
}

type ServerSettings = Omit<HttpServerOptions, "serveConnection" | "tls"> & {
  readonly serveConnection: HttpServerOptions["serveConnection"] | undefined;
};

interface OpenedServer {
  readonly server: Server;
  /** With it, the certificate can be replaced. */
  readonly relay?: TlsRelay | undefined;
}

/** Listens on an address. @throws {Error} with a readable reason when that fails */
function openServer(
  address: Address,
  identity: TlsIdentity | undefined,
  { serveConnection, ...settings }: ServerSettings,
): OpenedServer {
  if (serveConnection === undefined) return { server: new PlainServer(address, { ...settings, identity }) };
  const listener = listen(address);
  const relay = identity && new TlsRelay(identity);
  return { server: new HttpServer(listener, { ...settings, serveConnection, tls: relay }), relay };
}

function hostOf({ hostname }: Address, { addr }: Server): string {
  return hostname === undefined ? "0.0.0.0" : formatHost(addr.hostname);
}

function watchTls(
  relay: TlsRelay,
  { files, identity }: { files: TlsFiles; identity: TlsIdentity },
  log: Log,
): TlsFilesWatch {
  return new TlsFilesWatch(files, identity, {
    interval: TLS_CHECK_MILLISECONDS,
    onChange(renewed) {
      relay.replaceIdentity(renewed);
      log.write("info", "the renewed certificate is in use");
    },
    onProblem: ({ message }) =>
      log.write("warning", `keeping the current certificate, as the renewed one cannot be used: ${message}`),
  });
}
