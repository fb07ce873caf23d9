import { Exchange, type SentAnswer } from "./exchange.ts";
import type { Address } from "./settings.ts";

/** Answers requests. */
export type Handler = (request: Request, exchange: Exchange) => Response | Promise<Response>;

/** What a server tells. */
export interface ServeOptions {
  /** @param url where it listens */
  readonly onListen: (url: string) => void;
  /** Told why an answer that had begun was broken off. */
  readonly onAbort: (error: unknown) => void;
  /** Told of each answer when it has been sent. */
  readonly onSent?: ((answer: SentAnswer) => void) | undefined;
  /** Told that the server lets running answers finish, and how long it waits for them, in milliseconds. */
  readonly onStop: (patience: number) => void;
  /** Called before the process ends although some answers are still running. */
  readonly onExit: () => void;
}

const STOP_MILLISECONDS = 10_000;

/**
 * Serves until SIGINT or SIGTERM; then lets running answers finish, for a while.
 *
 * @throws {Error} when it cannot listen, with the reason in words
 */
export async function serve({ hostname, port }: Address, handler: Handler, options: ServeOptions): Promise<void> {
  let server: Deno.HttpServer<Deno.NetAddr> | undefined;
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
    server?.shutdown();
    Deno.unrefTimer(setTimeout(exit, STOP_MILLISECONDS));
  };
  // Before it is said that the server listens: whoever waited for that may end it at once.
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  const listen = (address: string) =>
    Deno.serve({
      port,
      hostname: address,
      onError(error) {
        options.onAbort(error);
        return new Response(null, { status: 500 });
      },
      onListen(at) {
        options.onListen(`http://${hostname === undefined ? "0.0.0.0" : formatHost(at.hostname)}:${at.port}`);
      },
    }, options.onSent === undefined ? answerOnly(handler) : answerAndTell(handler, options.onSent));
  try {
    server = hostname === undefined ? listenEverywhere(listen) : listen(hostname);
  } catch (cause) {
    throw listenError(cause, { hostname, port });
  }
  await server.finished;
}

function answerOnly(handler: Handler): Deno.ServeHandler<Deno.NetAddr> {
  return (request, info) => handler(request, new Exchange(request, info));
}

function answerAndTell(handler: Handler, onSent: (answer: SentAnswer) => void): Deno.ServeHandler<Deno.NetAddr> {
  return async (request, info) => {
    const exchange = new Exchange(request, info, onSent);
    const response = await handler(request, exchange);
    return exchange.isCounted ? response : exchange.count(response);
  };
}

// `::` is IPv4 as well, where there is IPv6 at all.
function listenEverywhere(listen: (address: string) => Deno.HttpServer<Deno.NetAddr>): Deno.HttpServer<Deno.NetAddr> {
  try {
    return listen("::");
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied) throw error;
    return listen("0.0.0.0");
  }
}

function listenError(cause: unknown, { hostname, port }: Address): Error {
  const where = `${hostname === undefined ? "" : formatHost(hostname)}:${port}`;
  const reason = cause instanceof Deno.errors.AddrInUse
    ? "the port is in use; stop what uses it, or choose another with --addr"
    : cause instanceof Deno.errors.AddrNotAvailable
    ? "this machine has no such address"
    : cause instanceof Deno.errors.PermissionDenied
    ? "permission denied; ports below 1024 need more rights, choose another with --addr"
    : (cause as Error).message;
  return new Error(`Cannot listen on ${where}: ${reason}`, { cause });
}

function formatHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
