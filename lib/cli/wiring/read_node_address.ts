import { cannot, RegistryError } from "../../oci/error.ts";
import type { AddressCheck } from "../../upstream/trust/address_check.ts";
import { ADDRESS_ADVICE, type AgentAddress, readAgentAddress } from "./choose_agent_url.ts";

/** An agent's address as a user of the page has written it. */
interface NodeAddress {
  readonly address: AgentAddress;
  /** The one-time code of a link. */
  readonly code: string | undefined;
  /** The fingerprint of the agent's own certificate, of a link that has it; the address is then that of https. */
  readonly fingerprint?: string;
}

const LINK = /^(\S+?)\/?#t=([a-z0-9]+)(?:&tls=([0-9]{1,5})&sha256=([0-9a-f]{64}))?$/;

/**
 * Reads the address of an agent, or the link with a one-time code that its QR code has. Nothing is sent to it, because the
 * page may be asked to try addresses that the machine reaches, but its user must not: those of a cloud's metadata service.
 *
 * @throws {RegistryError} `INVALID` for what is no address, and `DENIED` for a link-local, multicast or metadata address
 */
export async function readNodeAddress(text: string, checkAddress: AddressCheck): Promise<NodeAddress> {
  const [, link, code, port, fingerprint] = LINK.exec(text.trim()) ?? [];
  const address = readAgentAddress(
    link === undefined || port === undefined ? link ?? text.trim() : toSecure(link, port),
  );
  if (address === undefined) throw new RegistryError("INVALID", cannot("add the agent", ADDRESS_ADVICE));
  if ((await checkAddress(new URL(address.url))).class !== "forbidden") {
    return { address, code, fingerprint: fingerprint === undefined ? undefined : `sha256:${fingerprint}` };
  }
  throw new RegistryError("DENIED", cannot(`add ${address.url}`, "it is a link-local, multicast or metadata address"));
}

// Another port of the same host.
function toSecure(link: string, port: string): string {
  const url = URL.parse(link);
  return url === null ? link : `https://${url.hostname}:${port}`;
}
