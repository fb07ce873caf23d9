import project from "../../../../deno.json" with { type: "json" };
import { type CheckedAddress, createAddressCheck } from "../../../../lib/upstream/trust/address_check.ts";
import {
  type AddressClass,
  classifyHost,
  isLoopbackHost,
  isPrivateHost,
} from "../../../../lib/upstream/trust/private_address.ts";
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

const CLASSES: Record<AddressClass, readonly string[]> = {
  public: [
    "docker.io",
    "8.8.8.8",
    "[64:ff9b::808:808]",
    "[2002:808:808::]",
    "[::ffff:8.8.8.8]",
    "metadata.example.com",
  ],
  private: [
    "10.0.0.1",
    "0xa.0.0.1",
    "012.0.0.1",
    "167772161",
    "[fd12::1]",
    "[64:ff9b::a00:1]",
    "[2002:a00:1::]",
    "[::ffff:10.0.0.1]",
    "[::8.8.8.8]",
    "[::ffff:0:8.8.8.8]",
    "[64:ff9b:1::8.8.8.8]",
    "[2001:0:808:808::f7f7:f7f7]",
    "[2606:4700::5efe:808:808]",
    "registry.lan",
  ],
  loopback: [
    "localhost",
    "127.0.0.1",
    "0.0.0.0",
    "0x7f.1",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[::127.0.0.1]",
  ],
  forbidden: [
    "169.254.169.254",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "2852039166",
    "169.254.43518",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "[fe80::1]",
    "[ff02::1]",
    "[fd00:ec2::254]",
    "[fd00:0ec2:0:0:0:0:0:254]",
    "[fd20:ce::254]",
    "[::ffff:169.254.169.254]",
    "[::169.254.169.254]",
    "[::ffff:0:169.254.169.254]",
    "[64:ff9b::169.254.169.254]",
    "[64:ff9b:1::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:a9fe:a9fe::1]",
    "[2001:0:808:808::5601:5601]",
    "[fe80::5efe:a9fe:a9fe]",
    "[2606:4700::200:5efe:a9fe:a9fe]",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata",
    "user@example.com",
  ],
};
for (const [expected, hosts] of Object.entries(CLASSES)) {
  for (const host of hosts) {
    Deno.test(`[90] classifyHost() returns ${expected} for ${host}`, () => assertEquals(classifyHost(host), expected));
  }
}

Deno.test("[90] the permissions of the program deny only addresses that no registry uses", () => {
  const { net } = project.permissions.default;
  assertEquals(net.allow, true);
  assertEquals(net.deny.filter((host) => classifyHost(host.replace(/\/\d+$/, "")) !== "forbidden"), []);
  for (const host of ["169.254.0.0/16", "[fd00:ec2::254]", "168.63.129.16", "metadata.google.internal"]) {
    assertEquals(net.deny.includes(host), true, host);
  }
});

const RESOLVED: [name: string, url: string, addresses: string[] | Error | undefined, expected: CheckedAddress][] = [
  ["a public address", "https://registry.example.com/", ["93.184.216.34"], {
    class: "public",
    isResolved: true,
    addresses: ["93.184.216.34"],
  }],
  ["a private address", "https://rebind.example.com/", ["10.0.0.1"], {
    class: "private",
    isResolved: true,
    addresses: ["10.0.0.1"],
  }],
  ["the innermost of several addresses", "https://both.example.com/", ["93.184.216.34", "10.0.0.1", "::1"], {
    class: "loopback",
    isResolved: true,
    addresses: ["93.184.216.34", "10.0.0.1", "::1"],
  }],
  ["a metadata address", "https://meta.example.com/", ["169.254.169.254"], {
    class: "forbidden",
    isResolved: true,
    addresses: ["169.254.169.254"],
  }],
  ["no address", "https://none.example.com/", [], { class: "public", isResolved: false }],
  ["a resolver that fails", "https://fails.example.com/", new Error("SERVFAIL"), {
    class: "public",
    isResolved: false,
  }],
  ["a name that a proxy resolves", "https://far.example.com/", undefined, { class: "public", isResolved: true }],
  ["an IP literal without a lookup", "https://127.0.0.1/", new Error("must not be called"), {
    class: "loopback",
    isResolved: true,
  }],
];
for (const [name, url, addresses, expected] of RESOLVED) {
  Deno.test(`[90] createAddressCheck() classifies ${name}`, async () => {
    const resolveHost = () => addresses instanceof Error ? Promise.reject(addresses) : Promise.resolve(addresses);
    assertEquals(await createAddressCheck({ resolveHost, now: () => 0 })(new URL(url)), expected);
  });
}

Deno.test("[90] createAddressCheck() does not take a late resolver for a public address, and asks again", async () => {
  let asked = 0;
  const never = Promise.withResolvers<string[]>();
  const resolveHost = () => ++asked === 1 ? never.promise : Promise.resolve(["8.8.8.8"]);
  const check = createAddressCheck({ resolveHost, now: () => 0, timeout: 5 });
  const url = new URL("https://registry.example.com/");
  assertEquals(await check(url), { class: "public", isResolved: false });
  assertEquals(await check(url), { class: "public", isResolved: true, addresses: ["8.8.8.8"] });
  never.resolve([]);
});

Deno.test("createAddressCheck() shares one lookup between concurrent checks, and repeats it after 30 s", async () => {
  let asked = 0;
  let time = 0;
  const resolveHost = () => Promise.resolve([++asked === 1 ? "8.8.8.8" : "10.0.0.1"]);
  const check = createAddressCheck({ resolveHost, now: () => time });
  const url = new URL("https://registry.example.com/");
  const all = await Promise.all([check(url), check(url)]);
  assertEquals([all.map((each) => each.class), asked], [["public", "public"], 1]);
  time = 60_000;
  assertEquals((await check(url)).class, "private");
});
