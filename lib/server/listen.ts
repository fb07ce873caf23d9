import type { TlsIdentity } from "./tls_files.ts";

/** An address to listen on. */
export interface Address {
  /** `undefined`: every address of this machine. */
  readonly hostname: string | undefined;
  readonly port: number;
}

/** A listener for plain or TLS connections. */
export type Listener = Deno.Listener<Deno.TcpConn | Deno.TlsConn, Deno.NetAddr>;

/**
 * Listens for connections on an address that is not in use.
 *
 * @param address without a host name, the listener uses every address of this machine
 * @param tls the certificate and the key; without them, connections are plain
 * @throws {Error} with a readable reason when listening fails
 */
export function listen(address: Address, tls?: TlsIdentity): Listener {
  // TLS listeners share their port while the certificate changes, so the port must first be checked to be free.
  if (tls !== undefined && address.port !== 0) listenPlain(address).close();
  return listenAgain(address, tls);
}

/**
 * Listens like `listen`, but with TLS also on a port on which this process already listens.
 *
 * @throws {Error} with a readable reason when listening fails
 */
export function listenAgain(address: Address, tls?: TlsIdentity): Listener {
  if (tls === undefined) return listenPlain(address);
  return listenAt(address, (hostname) => {
    return Deno.listenTls({ hostname, port: address.port, ...tls, alpnProtocols: ["h2", "http/1.1"], reusePort: true });
  });
}

/** Formats a host for use before a port: `::1` → `[::1]`. */
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

// `::` accepts IPv4 connections too. It is not available on a system without IPv6.
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
    ? "the port is in use; stop the program that uses it, or choose another port with --addr"
    : cause instanceof Deno.errors.AddrNotAvailable
    ? "this machine has no such address"
    : cause instanceof Deno.errors.PermissionDenied
    ? "permission denied; ports below 1024 need special privileges, choose another port with --addr"
    : (cause as Error).message;
  return new Error(`Cannot listen on ${where}: ${reason}`, { cause });
}
