import { isSiteAddress, type NetworkAddress } from "../../discovery/site_address.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** What is used of an entry of `Deno.networkInterfaces()`. */
export type InterfaceEntry = NetworkAddress & { readonly family: "IPv4" | "IPv6" };

// Networks inside of this machine, and tunnels: other crpes of the site are not there.
const INNER =
  /^(?:br-|cali|cni|docker|flannel|kube|lxc|lxd|nodelocaldns|podman|tailscale|tap|tun|vbox|veth|virbr|vmnet|wg|zt)/;

/**
 * Chooses the network in which other crpes are looked for.
 *
 * @param named the name of a network interface or one of its addresses; absent for the only one with a private address
 * @throws {UsageError} when there is none, or more than one
 */
export function chooseInterface(entries: readonly InterfaceEntry[], named?: string): NetworkAddress {
  const usable = entries.filter(({ family, address }) => family === "IPv4" && isSiteAddress(address));
  if (named !== undefined) {
    const found = usable.find(({ name, address }) => name === named || address === named);
    if (found !== undefined) return found;
    const isThere = entries.some(({ name, address }) => name === named || address === named);
    throw new UsageError(
      cannot(
        `use --discover-on ${JSON.stringify(named)}`,
        `${isThere ? "it has no private IPv4 address (RFC 1918)" : "this machine has no such interface or address"}${
          describe(usable)
        }`,
      ),
    );
  }
  const outer = usable.filter(({ name, address }) => !INNER.test(name) && !address.startsWith("127."));
  const [first] = outer;
  if (first !== undefined && outer.every(({ name }) => name === first.name)) return first;
  throw new UsageError(
    first === undefined
      ? cannot(
        "use --discover",
        "no network interface has a private IPv4 address (RFC 1918)",
        "name one with --discover-on",
      )
      : cannot("use --discover", "several networks are possible", `name one with --discover-on${describe(outer)}`),
  );
}

function describe(entries: readonly NetworkAddress[]): string {
  return entries.length === 0 ? "" : `: ${entries.map(({ name, address }) => `${name} (${address})`).join(", ")}`;
}
