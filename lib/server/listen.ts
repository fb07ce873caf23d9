import { cannot, CrpeError } from "../oci/error.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** An address to listen on. */
export interface Address {
  /** `undefined`: every address of this machine. */
  readonly hostname: string | undefined;
  readonly port: number;
  /** The flag that chooses it, for advice; default: `--addr`. */
  readonly flag?: string;
}

/** A listener for connections. */
export type Listener = Deno.TcpListener;

/** Listens for connections. @throws {Error} the system's error when that fails */
type Listen<T> = (options: { hostname: string; port: number }) => T;

/**
 * Listens for connections on an address that is not in use.
 *
 * @param address without a host name, the listener uses every address of this machine
 * @throws {Error} with a readable reason when listening fails
 */
export function listen(address: Address): Listener;
export function listen<T>(address: Address, listenOn: Listen<T>): T;
export function listen(address: Address, listenOn: Listen<unknown> = Deno.listen): unknown {
  try {
    const { hostname, port } = address;
    return hostname === undefined ? listenEverywhere(port, listenOn) : listenOn({ hostname, port });
  } catch (cause) {
    throw listenError(cause, address);
  }
}

/** Formats a host for use before a port: `::1` → `[::1]`. */
export function formatHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}

// `::` accepts IPv4 connections too. It is not available on a system without IPv6.
function listenEverywhere(port: number, listenOn: Listen<unknown>): unknown {
  try {
    return listenOn({ hostname: "::", port });
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied) throw error;
    return listenOn({ hostname: "0.0.0.0", port });
  }
}

function listenError(cause: unknown, { hostname, port, flag = "--addr" }: Address): Error {
  const where = `${hostname === undefined ? "" : formatHost(hostname)}:${port}`;
  const [reason, advice] = cause instanceof Deno.errors.AddrInUse
    ? ["the port is in use", `stop the program that uses it, or choose another port with ${flag}`]
    : cause instanceof Deno.errors.AddrNotAvailable
    ? ["this machine has no such address"]
    : cause instanceof Deno.errors.PermissionDenied
    ? ["permission denied", `ports below 1024 need special privileges, choose another port with ${flag}`]
    : [describeSystemError(cause)];
  return new CrpeError(cannot(`listen on ${where}`, reason, advice), { cause });
}
