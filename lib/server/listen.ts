import type { TlsIdentity } from "./tls_files.ts";

/** Where to listen. */
export interface Address {
  /** `undefined`: on every address of this machine. */
  readonly hostname: string | undefined;
  readonly port: number;
}

/** What listens for connections; closing it ends that. */
export type Listener = Deno.Listener<Deno.TcpConn | Deno.TlsConn, Deno.NetAddr>;

/**
 * Listens for connections.
 *
 * @param address without a host name: on every address of this machine
 * @param tls what connections are encrypted with; plain when absent
 * @throws {Error} when it cannot, with the reason in words
 */
export function listen(address: Address, tls?: TlsIdentity): Listener {
  // Two may listen at the same place while the certificate changes; but first nobody else must be there.
  if (tls !== undefined && address.port !== 0) listenPlain(address).close();
  return listenAgain(address, tls);
}

/** As `listen`, also where this process listens already. */
export function listenAgain(address: Address, tls?: TlsIdentity): Listener {
  if (tls === undefined) return listenPlain(address);
  return listenAt(address, (hostname) => {
    return Deno.listenTls({ hostname, port: address.port, ...tls, alpnProtocols: ["h2", "http/1.1"], reusePort: true });
  });
}

/** `[::1]` for `::1`, as it is written before a port. */
export function formatHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

function listenPlain(address: Address): Listener {
  return listenAt(address, (hostname) => Deno.listen({ hostname, port: address.port }));
}

function listenAt(address: Address, open: (hostname: string) => Listener): Listener {
  try {
    return address.hostname === undefined ? listenEverywhere(open) : open(address.hostname);
  } catch (cause) {
    throw listenError(cause, address);
  }
}

// `::` is IPv4 as well, where there is IPv6 at all.
function listenEverywhere(open: (hostname: string) => Listener): Listener {
  try {
    return open("::");
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied) throw error;
    return open("0.0.0.0");
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
