import type { Address } from "./settings.ts";

/** Answers requests. */
export type Handler = (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Response | Promise<Response>;

/** What a server tells. */
export interface ServeOptions {
  /** @param url where it listens */
  readonly onListen: (url: string) => void;
  /** Told why an answer that had begun was broken off. */
  readonly onAbort: (error: unknown) => void;
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
    }, handler);
  try {
    server = hostname === undefined ? listenEverywhere(listen) : listen(hostname);
  } catch (cause) {
    throw listenError(cause, { hostname, port });
  }
  await server.finished;
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
