/** Information about the connection of a request. */
export interface ConnectionInfo extends Deno.ServeHandlerInfo<Deno.NetAddr> {
  /** The IP address at which the connection was accepted. */
  readonly localAddress: string;
}

/** Serves HTTP on one connection, until it ends. */
export type ServeConnection = (
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
 * @returns `undefined` when this release of the runtime does not have it; then there is `PlainServer`
 */
export function findServeConnection(): ServeConnection | undefined {
  const { internal } = Deno as unknown as { internal?: symbol };
  const internals = internal === undefined
    ? undefined
    : (Deno as unknown as Record<symbol, { serveHttpOnConnection?: ServeConnection }>)[internal];
  return internals?.serveHttpOnConnection;
}
