import { takeDataFolder } from "../content/data_folder.ts";
import { createRegistryHandler } from "../registry/handler.ts";
import type { Invocation } from "./command.ts";
import { describeError } from "./describe_error.ts";
import type { Io } from "./io.ts";
import { Log } from "./log.ts";
import { openContent } from "./open_content.ts";
import { type Address, readAddress, readSettings } from "./settings.ts";

type Handler = (request: Request) => Promise<Response>;

const DEFAULT_PORT = 6060;
const STOP_MILLISECONDS = 10_000;

/** `crpe registry` */
export async function runRegistry(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const address = readAddress(invocation, io, settings.config, DEFAULT_PORT);
  using folder = await takeDataFolder(settings.data);
  const log = new Log(io);
  const warn = (message: string) => log.line(`warning: ${message}`);
  if (folder === undefined) warn(`${settings.data} cannot be written; what it holds is served, nothing is added`);
  const { source } = await openContent(settings, io, warn);
  const handler = createRegistryHandler(source, {
    onError: (error, request) => log.line(`error: ${pathOf(request)}: ${describeError(error)}`),
  });
  await serve(address, invocation.isSet("quiet") ? handler : withLog(handler, log), {
    onListen: (url) => {
      log.line(`crpe registry on ${url}, data in ${settings.data}`);
      log.flush();
    },
    // The answer had begun; its connection is aborted, so that nobody takes a part for the whole.
    onAbort: (error) => log.line(`error: an answer was broken off: ${describeError(error)}`),
  });
  log.flush();
  return 0;
}

function withLog(handler: Handler, log: Log): Handler {
  return async (request) => {
    const response = await handler(request);
    log.line(`${request.method} ${pathOf(request)} ${response.status}`);
    return response;
  };
}

function pathOf({ url }: Request): string {
  return url.slice(url.indexOf("/", url.indexOf("://") + 3));
}

/** Serves until SIGINT or SIGTERM; then lets running answers finish, for a while. */
async function serve(
  { hostname, port }: Address,
  handler: Handler,
  { onListen, onAbort }: { onListen: (url: string) => void; onAbort: (error: unknown) => void },
): Promise<void> {
  let server: Deno.HttpServer<Deno.NetAddr> | undefined;
  const stop = () => {
    server?.shutdown();
    Deno.unrefTimer(setTimeout(() => Deno.exit(0), STOP_MILLISECONDS));
  };
  // Before it is said that the server listens: whoever waited for that may end it at once.
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, stop);
  try {
    server = Deno.serve({
      port,
      ...(hostname === undefined ? {} : { hostname }),
      onError(error) {
        onAbort(error);
        return new Response(null, { status: 500 });
      },
      onListen: (at) => onListen(`http://${hostname === undefined ? "0.0.0.0" : urlHost(at.hostname)}:${at.port}`),
    }, handler);
  } catch (cause) {
    throw listenError(cause, hostname, port);
  }
  await server.finished;
}

function listenError(cause: unknown, hostname: string | undefined, port: number): Error {
  const where = `${hostname === undefined ? "" : urlHost(hostname)}:${port}`;
  const reason = cause instanceof Deno.errors.AddrInUse
    ? "the port is in use; stop what uses it, or choose another with --addr"
    : cause instanceof Deno.errors.AddrNotAvailable
    ? "this machine has no such address"
    : cause instanceof Deno.errors.PermissionDenied
    ? "permission denied; ports below 1024 need more rights, choose another with --addr"
    : (cause as Error).message;
  return new Error(`Cannot listen on ${where}: ${reason}`, { cause });
}

function urlHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
