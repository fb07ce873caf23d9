import { addressesOfSubnet, localSubnets } from "../../../../lib/agent/client/subnet.ts";
import { assertEquals } from "../../../support/assert.ts";

for (
  const [cidr, count, first, last] of [
    ["10.1.2.0/24", 254, "10.1.2.1", "10.1.2.254"],
    ["10.1.2.77/24", 254, "10.1.2.1", "10.1.2.254"],
    ["127.0.0.0/24", 254, "127.0.0.1", "127.0.0.254"],
    ["192.168.255.128/25", 126, "192.168.255.129", "192.168.255.254"],
    ["10.0.0.4/30", 2, "10.0.0.5", "10.0.0.6"],
    ["10.0.0.4/31", 2, "10.0.0.4", "10.0.0.5"],
    ["255.255.255.255/32", 1, "255.255.255.255", "255.255.255.255"],
  ] as const
) {
  Deno.test(`addressesOfSubnet() of ${cidr}`, () => {
    const addresses = addressesOfSubnet(cidr) ?? [];
    assertEquals([addresses.length, addresses[0], addresses.at(-1)], [count, first, last]);
    assertEquals(new Set(addresses).size, count);
  });
}

for (
  const cidr of [
    ...["", "10.0.0.0", "10.0.0.0/", "10.0.0.0/23", "10.0.0.0/8", "10.0.0.0/33", "10.0.0/24", "10.0.0.256/24"],
    ...["10.0.0.01/24", "10.0.0.0/24 ", "::1/128", "a.b.c.d/24", "10.0.0.0.0/24", "1e1.0.0.0/24"],
  ]
) {
  Deno.test(`addressesOfSubnet() rejects ${JSON.stringify(cidr)}`, () => {
    assertEquals(addressesOfSubnet(cidr), undefined);
  });
}

for (
  const [address, netmask, expected] of [
    ["192.168.1.5", "255.255.255.0", ["192.168.1.0/24"]],
    ["10.42.7.9", "255.0.0.0", ["10.42.7.0/24"]],
    ["172.16.0.1", "255.255.0.0", ["172.16.0.0/24"]],
    ["172.31.255.1", "255.255.255.240", ["172.31.255.0/28"]],
    ["172.32.0.1", "255.255.255.0", []],
    ["172.15.0.1", "255.255.255.0", []],
    ["127.0.0.1", "255.0.0.0", []],
    ["169.254.1.1", "255.255.0.0", []],
    ["100.64.0.1", "255.192.0.0", []],
    ["8.8.8.8", "255.255.255.0", []],
    ["192.168.1.5", "255.0.255.0", []],
    ["192.168.1.5", "nonsense", []],
    ["0.0.0.0", "0.0.0.0", []],
  ] as const
) {
  Deno.test(`localSubnets() of ${address} with ${netmask}`, () => {
    assertEquals(localSubnets([{ family: "IPv4", address, netmask }]), [...expected]);
  });
}

Deno.test("localSubnets() lists each subnet once, and none of IPv6", () => {
  const found = localSubnets([
    { family: "IPv4", address: "192.168.1.5", netmask: "255.255.255.0" },
    { family: "IPv6", address: "fd00::1", netmask: "ffff:ffff:ffff:ffff::" },
    { family: "IPv4", address: "192.168.1.6", netmask: "255.255.0.0" },
  ]);
  assertEquals(found, ["192.168.1.0/24"]);
});
