import { isOnLink, isSiteAddress } from "../../../lib/discovery/site_address.ts";
import { assertEquals } from "../../support/assert.ts";

const ADDRESSES: readonly [address: string, isOfSite: boolean][] = [
  ["10.0.0.5", true],
  ["172.16.0.1", true],
  ["172.31.255.254", true],
  ["192.168.1.1", true],
  ["127.0.0.1", true],
  ["8.8.8.8", false],
  ["172.15.0.1", false],
  ["172.32.0.1", false],
  ["192.169.1.1", false],
  ["0.0.0.0", false],
  ["100.64.0.1", false],
  ["100.100.100.200", false],
  ["169.254.169.254", false],
  ["168.63.129.16", false],
  ["192.0.0.192", false],
  ["192.0.2.2", false],
  ["224.0.0.251", false],
  ["255.255.255.255", false],
];
for (const [address, isOfSite] of ADDRESSES) {
  Deno.test(`[108] ${address} is ${isOfSite ? "an" : "no"} address of a site's registry`, () => {
    assertEquals(isSiteAddress(address), isOfSite);
  });
}

const own = { name: "eth0", address: "10.1.2.3", netmask: "255.255.255.0" };
const LINKS: readonly [what: string, address: string, sender: string, isAccepted: boolean][] = [
  ["its own address", "10.1.2.4", "10.1.2.4", true],
  ["that of another machine", "10.1.2.5", "10.1.2.4", false],
  ["that of another network", "10.1.3.4", "10.1.3.4", false],
  ["a public one", "8.8.8.8", "8.8.8.8", false],
  ["a public one, from this network", "8.8.8.8", "10.1.2.4", false],
  ["a metadata service", "169.254.169.254", "169.254.169.254", false],
  ["this machine", "127.0.0.1", "127.0.0.1", false],
];
for (const [what, address, sender, isAccepted] of LINKS) {
  Deno.test(`[108] a machine that announces ${what} is ${isAccepted ? "accepted" : "refused"}`, () => {
    assertEquals(isOnLink(address, { sender, own }), isAccepted);
  });
}

Deno.test("[108] networks of every size: one machine, a half of the address, and loopback", () => {
  const at = (address: string, netmask: string) => (other: string) =>
    isOnLink(other, { sender: other, own: { name: "x", address, netmask } });
  assertEquals(at("10.1.2.3", "255.255.255.255")("10.1.2.4"), false);
  assertEquals(at("192.168.1.1", "255.255.0.0")("192.168.200.1"), true);
  assertEquals(at("127.0.0.1", "255.0.0.0")("127.0.0.1"), true);
  assertEquals(at("127.0.0.1", "255.0.0.0")("10.0.0.1"), false);
});
