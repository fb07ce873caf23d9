import { Exchange, type SentAnswer } from "../../server/exchange.ts";
import { type ConnectionLimits, HttpServer, type HttpServerOptions } from "../../server/http_server.ts";
import { type Address, formatHost, listen, listenAgain } from "../../server/listen.ts";
import { readTlsFiles, type TlsFiles, TlsFilesWatch, type TlsIdentity } from "../../server/tls_files.ts";

/** Answers requests. */
export type Handler = (request: Request, exchange: Exchange) => Response | Promise<Response>;

/** How a server serves, and what it tells. */
export interface ServeOptions {
  /** The certificate to encrypt connections with, and its key; they are read again when they change. */
  readonly tls?: TlsFiles | undefined;
  /** @param url where it listens */
  readonly onListen: (url: string) => void;
  /** Told why an answer that had begun was broken off. */
  readonly onAbort: (error: unknown) => void;
  /** Told of each answer when it has been sent. */
  readonly onSent?: ((answer: SentAnswer) => void) | undefined;
  /** Told that the server lets running answers finish, and how long it waits for them, in milliseconds. */
  readonly onStop: (patience: number) => void;
  /** Told that a renewed certificate is in use. */
  readonly onRenew: () => void;
  /** Told why a renewed certificate is not used; the one before is. */
  readonly onRenewProblem: (error: Error) => void;
  /** Called before the process ends although some answers are still running. */
  readonly onExit: () => void;
}

const STOP_MILLISECONDS = 10_000;
const LIMITS: ConnectionLimits = { max: 2560, headTimeout: 30_000, idleTimeout: 120_000, readTimeout: 30_000 };
const TLS_CHECK_MILLISECONDS = 10_000;

/**
 * Serves until SIGINT or SIGTERM; then lets running answers finish, for a while.
 *
 * @throws {Error} when it cannot listen, with the reason in words
 */
export async function serve(address: Address, handler: Handler, options: ServeOptions): Promise<void> {
  let shutdown = () => {};
  let isStopping = false;
  const exit = () => {
    options.onExit();
    Deno.exit(0);
  };
  const stop = () => {
    // Who asks twice means it.
    if (isStopping) exit();
    isStopping = true;
    options.onStop(STOP_MILLISECONDS);
    shutdown();
    Deno.unrefTimer(setTimeout(exit, STOP_MILLISECONDS));
  };
  // Before it is said that the server listens: whoever waited for that may end it at once.
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  const identity = options.tls && await readTlsFiles(options.tls);
  if (isStopping) return;
  const server = new HttpServer(listen(address, identity), {
    handler: options.onSent === undefined ? answerOnly(handler) : answerAndTell(handler, options.onSent),
    onError(error) {
      options.onAbort(error);
      return new Response(null, { status: 500 });
    },
    limits: LIMITS,
  });
  shutdown = () => server.shutdown();
  using watch = options.tls && identity && watchTls(server, options.tls, identity, options);
  // For who has just renewed it and does not want to wait.
  if (watch !== undefined) Deno.addSignalListener("SIGHUP", () => watch.check());
  const host = address.hostname === undefined ? "0.0.0.0" : formatHost(server.addr.hostname);
  options.onListen(`${identity === undefined ? "http" : "https"}://${host}:${server.addr.port}`);
  await server.finished;
}

function watchTls(server: HttpServer, files: TlsFiles, identity: TlsIdentity, options: ServeOptions): TlsFilesWatch {
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

function answerAndTell(handler: Handler, onSent: (answer: SentAnswer) => void): HttpServerOptions["handler"] {
  return async (request, info, onBackpressure) => {
    const exchange = new Exchange(request, info, { onBackpressure, onSent });
    const response = await handler(request, exchange);
    return exchange.isCounted ? response : exchange.count(response);
  };
}
