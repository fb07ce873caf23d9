import { chooseInterface, type InterfaceEntry } from "../../../../lib/cli/wiring/choose_interface.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { UsageError } from "../../../../lib/oci/error.ts";

const entry = (name: string, address: string): InterfaceEntry => ({
  family: address.includes(":") ? "IPv6" : "IPv4",
  name,
  address,
  netmask: "255.255.255.0",
});
const LO = entry("lo", "127.0.0.1");
const ETH0 = entry("eth0", "10.0.0.5");
const SECOND = entry("eth0", "10.0.1.5");
const ETH1 = entry("eth1", "192.168.1.5");
const CNI = entry("cni0", "10.42.0.1");
const PUBLIC = entry("eth2", "8.8.8.8");
const IPV6 = entry("eth3", "fd00::1");

const ROWS: readonly [what: string, entries: InterfaceEntry[], named: string | undefined, InterfaceEntry | string][] = [
  ["the only private one", [LO, PUBLIC, ETH0, IPV6], undefined, ETH0],
  ["not those of containers", [LO, CNI, entry("docker0", "172.17.0.1"), ETH0], undefined, ETH0],
  ["the first address of it", [ETH0, SECOND], undefined, ETH0],
  ["none of several", [ETH0, ETH1], undefined, "several networks are possible"],
  ["none, as none is private", [LO, PUBLIC, IPV6], undefined, "no network interface has a private IPv4 address"],
  ["by its name", [ETH0, ETH1], "eth1", ETH1],
  ["by its address", [ETH0, SECOND], "10.0.1.5", SECOND],
  ["loopback, by its name", [ETH0, LO], "lo", LO],
  ["that of containers, by its name", [ETH0, CNI], "cni0", CNI],
  ["none, as it has a public address", [ETH0, PUBLIC], "eth2", "it has no private IPv4 address (RFC 1918): eth0 (10.0"],
  ["none, as it has only IPv6", [IPV6], "fd00::1", "it has no private IPv4 address (RFC 1918)"],
  ["none, as there is no such one", [ETH0], "eth9", "this machine has no such interface or address: eth0 (10.0.0.5)"],
];
for (const [what, entries, named, expected] of ROWS) {
  Deno.test(`[108] the network in which crpes are looked for: ${what}`, () => {
    if (typeof expected !== "string") assertEquals(chooseInterface(entries, named), expected);
    else assertThrows(() => chooseInterface(entries, named), UsageError, expected);
  });
}
