import { createAddressCheck } from "../../../../lib/upstream/trust/address_check.ts";
import { isLoopbackHost, isPrivateHost } from "../../../../lib/upstream/trust/private_address.ts";
import { assertEquals } from "../../../support/assert.ts";

const PRIVATE = [
  "localhost",
  "LOCALHOST:5000",
  "registry.localhost",
  "localhost.",
  "registry",
  "registry.lan",
  "nas.local",
  "metadata.google.internal",
  "kubernetes.default.svc.cluster.local:443",
  "router.home.arpa",
  "0.0.0.0",
  "10.1.2.3:5000",
  "100.64.0.1",
  "100.100.100.200",
  "127.0.0.1:6443",
  "127.1",
  "2130706433",
  "0x7f000001",
  "0x7f.1",
  "0177.0.0.1",
  "169.254.169.254",
  "0xa9fea9fe",
  "168.63.129.16",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.192",
  "192.168.1.10",
  "198.18.0.1",
  "224.0.0.1",
  "255.255.255.255",
  "[::]",
  "[::1]:5000",
  "::1",
  "[::ffff:127.0.0.1]",
  "[::ffff:a9fe:a9fe]",
  "[::127.0.0.1]",
  "[fe80::1]",
  "[fc00::1]",
  "[fd00:ec2::254]",
  "[ff02::1]",
  "[64:ff9b::10.0.0.1]",
  "[64:ff9b:1::1]",
  "[2002:7f00:1::]",
  "[2001:db8::1]",
  "[2001::1]",
  "",
  "bad host",
  "user@example.com",
  "[fe80::1%25eth0]",
];

const PUBLIC = [
  "docker.io",
  "registry-1.docker.io:443",
  "registry.example.com",
  "my-lan.example.com",
  "1.1.1.1",
  "8.8.8.8:5000",
  "172.15.255.255",
  "172.32.0.1",
  "100.63.255.255",
  "192.167.255.255",
  "223.255.255.255",
  "[2606:4700::1111]",
  "[2a00:1450:4001::200e]:5000",
  "[64:ff9b::8.8.8.8]",
  "[::ffff:8.8.8.8]",
  "[2002:808:808::]",
];

for (const host of PRIVATE) {
  Deno.test(`isPrivateHost() returns true for ${JSON.stringify(host)}`, () => assertEquals(isPrivateHost(host), true));
}
for (const host of PUBLIC) {
  Deno.test(`isPrivateHost() returns false for ${host}`, () => assertEquals(isPrivateHost(host), false));
}

const LOOPBACK: [string, boolean][] = [
  ["localhost:5000", true],
  ["a.localhost", true],
  ["127.8.9.1:1234", true],
  ["[::1]:80", true],
  ["10.0.0.1", false],
  ["localhost.example.com", false],
];
for (const [host, expected] of LOOPBACK) {
  Deno.test(`isLoopbackHost() returns ${expected} for ${host}`, () => assertEquals(isLoopbackHost(host), expected));
}

const RESOLVED: [name: string, url: string, addresses: string[] | Error, expected: boolean][] = [
  ["a public address", "https://registry.example.com/", ["93.184.216.34"], false],
  ["a private address", "https://rebind.example.com/", ["10.0.0.1"], true],
  ["a private address among public ones", "https://both.example.com/", ["93.184.216.34", "::1"], true],
  ["no address", "https://none.example.com/", [], false],
  ["a resolver that fails", "https://fails.example.com/", new Error("SERVFAIL"), false],
  ["a private IP literal without a lookup", "https://127.0.0.1/", new Error("must not be called"), true],
];
for (const [name, url, addresses, expected] of RESOLVED) {
  Deno.test(`createAddressCheck() returns ${expected} for ${name}`, async () => {
    const resolveHost = () => addresses instanceof Error ? Promise.reject(addresses) : Promise.resolve(addresses);
    const isPrivate = createAddressCheck({ resolveHost, now: () => 0 });
    assertEquals(await isPrivate(new URL(url)), expected);
  });
}

Deno.test("createAddressCheck() shares one lookup between concurrent checks, and repeats it after 30 s", async () => {
  let asked = 0;
  let time = 0;
  const resolveHost = () => Promise.resolve([++asked === 1 ? "8.8.8.8" : "10.0.0.1"]);
  const isPrivate = createAddressCheck({ resolveHost, now: () => time });
  const url = new URL("https://registry.example.com/");
  assertEquals(await Promise.all([isPrivate(url), isPrivate(url)]), [false, false]);
  assertEquals(asked, 1);
  time = 60_000;
  assertEquals(await isPrivate(url), true);
});
