import { Exchange, type SentAnswer } from "../../server/exchange.ts";
import { type ConnectionLimits, HttpServer, type HttpServerOptions } from "../../server/http_server.ts";
import { type Address, formatHost, listen, listenAgain } from "../../server/listen.ts";
import { readTlsFiles, type TlsFiles, TlsFilesWatch, type TlsIdentity } from "../../server/tls_files.ts";

/** Answers a request. */
export type Handler = (request: Request, exchange: Exchange) => Response | Promise<Response>;

/** The options of `serve`: TLS, and callbacks for the events of the server. */
export interface ServeOptions {
  /** The files of the certificate and its key; changed files are reloaded. */
  readonly tls?: TlsFiles | undefined;
  /** Called when the server listens. @param url the server's URL @param countConnections counts those that are open */
  readonly onListen: (url: string, countConnections: () => number) => void;
  /** Called with the reason when a response is aborted after it has started. */
  readonly onAbort: (error: unknown) => void;
  /** Called for each response after it was sent. */
  readonly onSent?: ((answer: SentAnswer) => void) | undefined;
  /** Called when the server stops. @param patience how long responses in progress may take, in milliseconds */
  readonly onStop: (patience: number) => void;
  /** Called when a renewed certificate is in use. */
  readonly onRenew: () => void;
  /** Called when a renewed certificate cannot be used; the current one stays in use. */
  readonly onRenewProblem: (error: Error) => void;
  /** Called before the process ends with responses still in progress. */
  readonly onExit: () => void;
}

const STOP_MILLISECONDS = 10_000;
const LIMITS: ConnectionLimits = { max: 2560, headTimeout: 30_000, idleTimeout: 120_000, readTimeout: 30_000 };
const TLS_CHECK_MILLISECONDS = 10_000;

/**
 * Serves until SIGINT or SIGTERM, and then waits up to 10 seconds for responses in progress.
 *
 * @throws {Error} when the server cannot listen on the address; the message gives the reason
 */
export async function serve(address: Address, handler: Handler, options: ServeOptions): Promise<void> {
  let shutdown = () => {};
  let isStopping = false;
  const exit = () => {
    options.onExit();
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
  const server = new HttpServer(listen(address, identity), {
    handler: options.onSent === undefined ? answerOnly(handler) : answerAndReport(handler, options.onSent),
    onError(error) {
      options.onAbort(error);
      return new Response(null, { status: 500 });
    },
    limits: LIMITS,
  });
  shutdown = () => server.shutdown();
  using watch = options.tls && identity && watchTls(server, { files: options.tls, identity }, options);
  // SIGHUP checks for a renewed certificate at once, without waiting for the interval.
  if (watch !== undefined) Deno.addSignalListener("SIGHUP", () => watch.check());
  const host = address.hostname === undefined ? "0.0.0.0" : formatHost(server.addr.hostname);
  options.onListen(`${identity === undefined ? "http" : "https"}://${host}:${server.addr.port}`, () => server.size);
  await server.finished;
}

function watchTls(
  server: HttpServer,
  { files, identity }: { files: TlsFiles; identity: TlsIdentity },
  options: ServeOptions,
): TlsFilesWatch {
  return new TlsFilesWatch(files, identity, {
    interval: TLS_CHECK_MILLISECONDS,
    onChange(renewed) {
      const { hostname, port } = server.addr;
      server.replaceListener(listenAgain({ hostname, port }, renewed));
      options.onRenew();
    },
    onProblem: options.onRenewProblem,
  });
}

function answerOnly(handler: Handler): HttpServerOptions["handler"] {
  return (request, info, onBackpressure) => handler(request, new Exchange(request, info, { onBackpressure }));
}

function answerAndReport(handler: Handler, onSent: (answer: SentAnswer) => void): HttpServerOptions["handler"] {
  return async (request, info, onBackpressure) => {
    const exchange = new Exchange(request, info, { onBackpressure, onSent });
    const response = await handler(request, exchange);
    return exchange.isCounted ? response : exchange.count(response);
  };
}
