import type { AddressCheck } from "./address_check.ts";
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
  if (canonicalHostname(registry.hostname) === canonicalHostname(to.hostname)) return undefined;
  const target = await check(to);
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
  return `the addresses of ${to.host} are not known, because its name could not be resolved in time`;
}
