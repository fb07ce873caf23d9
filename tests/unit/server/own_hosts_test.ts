import { findDomains, isLoopback, OwnHosts } from "../../../lib/server/own_hosts.ts";
import { assertEquals } from "../../support/assert.ts";

const HOSTS = new OwnHosts({
  hostname: "Node7.lan",
  domains: ["site.test"],
  listAddresses: () => ["127.0.0.1", "192.168.1.20", "fe80::1%eth0", "2001:db8::5"],
}, ["agent.example", "203.0.113.9"]);

const CASES: [host: string, expected: boolean, localAddress?: string][] = [
  ["localhost", true],
  ["LOCALHOST", true],
  ["127.0.0.1", true],
  ["127.8.8.8", true],
  ["[::1]", true],
  ["192.168.1.20", true],
  ["[2001:db8:0:0::5]", true],
  ["[fe80::1]", true],
  ["192.168.1.21", false],
  ["192.168.1.21", true, "192.168.1.21"],
  ["192.168.1.21", true, "::ffff:192.168.1.21"],
  ["[::ffff:192.168.1.20]", true],
  ["[2001:db8::6]", false],
  ["node7.lan", true],
  ["node7", true],
  ["node7.", true],
  ["node7.site.test", true],
  ["node7.local", true],
  ["node7.evil.test", false],
  ["evil.test", false],
  ["localhost.evil.test", false],
  ["127.0.0.1.evil.test", false],
  ["192.168.1.20.nip.io", false],
  ["agent.example", true],
  ["x.agent.example", false],
  ["203.0.113.9", true],
  ["", false],
];

for (const [host, expected, localAddress] of CASES) {
  const at = localAddress === undefined ? "" : ` on a connection to ${localAddress}`;
  Deno.test(`[64] the host ${JSON.stringify(host)}${at} is ${expected ? "" : "not "}this machine`, () => {
    assertEquals(HOSTS.has(host, localAddress), expected);
  });
}

Deno.test("isLoopback() is true for names and addresses that never leave the machine", () => {
  assertEquals(["localhost", "127.0.0.1", "[::1]", "::1", "[::ffff:127.0.0.1]"].map(isLoopback), Array(5).fill(true));
  assertEquals(["10.0.0.1", "[::2]", "localhost.test", "127.0.0.1.test"].map(isLoopback), Array(4).fill(false));
});

Deno.test("findDomains() reads the search domains, and the full name in the hosts file", () => {
  const resolvConf = "# x\nnameserver 10.0.0.1\nsearch lan site.test.\ndomain home\n";
  const hosts = "127.0.0.1 localhost\n10.0.0.7\tnode7.plant.test node7 # other.test\n10.0.0.8 node70.far.test\n";
  assertEquals(findDomains("node7", { resolvConf, hosts }), ["lan", "site.test", "home", "plant.test"]);
  assertEquals(findDomains("node7", {}), []);
});
