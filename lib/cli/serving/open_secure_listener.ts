import { ensureAgentCertificate, readAgentCertificate } from "../../agent/agent_certificate.ts";
import type { SecureAddress } from "../../agent/options.ts";
import type { Address } from "../../server/listen.ts";
import type { SecureListener } from "./serve.ts";
import type { ServerContext } from "./serve_registry.ts";

/** Options of `openSecureListener`. */
interface SecureListenerOptions {
  /** The address that was asked for; by default the port behind that of the server, where it is free. */
  readonly given: Address | undefined;
  readonly context: Pick<ServerContext, "settings" | "log" | "isReadOnly">;
  readonly onListen: (at: SecureAddress) => void;
}

/**
 * Opens the address where an agent answers over TLS, with a certificate of its own that is made at the first start.
 *
 * @param address where the agent listens itself
 * @returns `undefined` if the data folder is read-only and has no certificate
 */
export async function openSecureListener(
  address: Address,
  { given, context: { settings: { data }, log, isReadOnly }, onListen }: SecureListenerOptions,
): Promise<SecureListener | undefined> {
  const certificate = isReadOnly
    ? await readAgentCertificate(data)
    : await ensureAgentCertificate(data, [Deno.hostname(), "localhost"]);
  if (certificate === undefined) return undefined;
  const { cert, key, fingerprint } = certificate;
  return {
    address: { ...given ?? { hostname: address.hostname, port: secondPort(address.port) }, flag: "--tls-addr" },
    identity: { cert, key },
    onListen: (url) => onListen({ url, fingerprint }),
    onProblem: given === undefined ? ({ message }) => log.write("warning", `${message}; no TLS`) : undefined,
  };
}

/** Returns the port for TLS of an agent that listens on a port: the one behind it, and any free one for any. */
export function secondPort(port: number): number {
  return port === 0 ? 0 : port % 65535 + 1;
}
