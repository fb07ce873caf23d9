import type { OnBackpressure } from "./connection_table.ts";
import type { ConnectionInfo } from "./serve_connection.ts";

/** A server that listens. */
export interface Server {
  /** Settles when the last connection has ended after `shutdown`. */
  readonly finished: Promise<void>;
  /** The address of the listener. */
  readonly addr: Deno.NetAddr;
  /** The number of open connections. */
  readonly size: number;
  /** Lowers the maximum number of connections. */
  limit(max: number): void;
  /** Stops accepting connections, and closes each open connection when its pending responses are sent. */
  shutdown(): void;
}

/** What a server answers with. */
export interface ServerHandlers {
  /** Handles a request. Until it calls `onBackpressure`, the response counts as waiting for the server. */
  readonly handler: (
    request: Request,
    info: ConnectionInfo,
    onBackpressure: OnBackpressure,
  ) => Response | Promise<Response>;
  /** Creates the response for an error that the handler, or the body of a response, has thrown. */
  readonly onError: (error: unknown) => Response;
}
