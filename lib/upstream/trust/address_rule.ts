import { TransportError } from "../transport/transport_error.ts";
import type { AddressCheck, CheckedAddress } from "./address_check.ts";
import { isNamedHost } from "./credential_scope.ts";
import { canonicalHostname, isFurtherInside } from "./private_address.ts";

/**
 * Returns the reason why a registry must not lead crpe to a URL, by a redirect, a link or the realm of a token server;
 * `undefined` when it may. A registry leads only to addresses that are no further inside than its own: a public one to
 * public ones, one of a private network not to this machine, and none to link-local addresses and metadata services.
 * A URL of the registry's own host is always allowed.
 *
 * @param registry the endpoint, which is configured or was checked itself
 */
export async function whyAddressRefused(registry: URL, to: URL, check: AddressCheck): Promise<string | undefined> {
  return isOwnHost(registry, to) ? undefined : await whyRefused(registry, to, { target: await check(to), check });
}

/** Options of `createConnectionGuard`. */
interface ConnectionGuardOptions {
  /** The endpoint of the requests. */
  readonly registry: URL;
  /** Hosts that the configuration names as token servers; their addresses are not checked. */
  readonly tokenHosts?: readonly string[] | undefined;
  /** Whether the endpoint was added on the page, so that the addresses of its own host are checked too. */
  readonly isFromPage?: boolean | undefined;
  readonly checkAddress: AddressCheck;
}

/**
 * Returns a function that determines to which addresses a connection is made. It applies the rule of
 * `whyAddressRefused` once more, to exactly these addresses: a name may have been resolved to other ones since a
 * redirect or a realm was checked (DNS rebinding).
 *
 * A registry of the page, which its user may have chosen, is not at a link-local address or a metadata service; its name
 * may have been resolved to other ones, or to none, when it was added.
 *
 * The function returns `undefined` where the runtime resolves the name: for the hosts that the configuration names, which
 * are not checked; where a proxy resolves it; and for https, where a server of another address would need a certificate
 * for the name. It throws a `TransportError` when the address is refused.
 */
export function createConnectionGuard(
  { registry, tokenHosts = [], isFromPage = false, checkAddress }: ConnectionGuardOptions,
): (url: URL) => Promise<readonly string[] | undefined> {
  return async (to) => {
    const isOwn = isOwnHost(registry, to);
    if (isOwn ? !isFromPage : isNamedHost(tokenHosts, to)) return undefined;
    const target = await checkAddress(to);
    if (isOwn && !target.isResolved) throw new TransportError("dns", describeUnknown(to));
    const refused = await whyRefused(registry, to, { target, check: checkAddress });
    if (refused !== undefined) throw new TransportError("blocked", refused);
    return to.protocol === "http:" ? target.addresses : undefined;
  };
}

function isOwnHost(registry: URL, to: URL): boolean {
  return canonicalHostname(registry.hostname) === canonicalHostname(to.hostname);
}

async function whyRefused(
  registry: URL,
  to: URL,
  { target, check }: { target: CheckedAddress; check: AddressCheck },
): Promise<string | undefined> {
  if (target.class === "forbidden") {
    return `${to.host} is a link-local, multicast or metadata address, which no registry uses`;
  }
  if (target.class === "public" && target.isResolved) return undefined;
  const source = (await check(registry)).class;
  if (isFurtherInside(target.class, source)) {
    const inside = target.class === "loopback" ? "a private address of this machine" : "a private address";
    return `${to.host} is ${inside}, but ${registry.host} is a ${source} registry`;
  }
  if (target.isResolved || source !== "public") return undefined;
  return describeUnknown(to);
}

function describeUnknown({ host }: URL): string {
  return `the addresses of ${host} are not known, because its name could not be resolved in time`;
}
