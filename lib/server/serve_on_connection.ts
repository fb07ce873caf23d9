/** Information about the connection of a request. */
export interface ConnectionInfo extends Deno.ServeHandlerInfo<Deno.NetAddr> {
  /** The IP address at which the connection was accepted. */
  readonly localAddress: string;
}

/** Serves HTTP on one connection, until it ends. */
export type ServeOnConnection = (
  connection: Deno.Conn,
  signal: AbortSignal,
  handler: (request: Request, info: Deno.ServeHandlerInfo<Deno.NetAddr>) => Response | Promise<Response>,
  onError: (error: unknown) => Response,
  onListen: () => void,
) => Deno.HttpServer;

/**
 * Returns the function of the runtime that serves HTTP on a single connection. The runtime's own `node:http` uses it. It
 * is not part of the documented API.
 *
 * @throws {Error} when this release of the runtime does not have it
 */
export function findServeOnConnection(): ServeOnConnection {
  const { internal } = Deno as unknown as { internal?: symbol };
  const internals = internal === undefined
    ? undefined
    : (Deno as unknown as Record<symbol, { serveHttpOnConnection?: ServeOnConnection }>)[internal];
  const serveOn = internals?.serveHttpOnConnection;
  if (serveOn === undefined) throw new Error("Cannot limit connections: this release of Deno does not support it");
  return serveOn;
}
