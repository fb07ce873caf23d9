import { readNodeAddress } from "../../../../lib/cli/wiring/read_node_address.ts";
import { RegistryError } from "../../../../lib/oci/error.ts";
import { createAddressCheck } from "../../../../lib/upstream/trust/address_check.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const NAMES: Readonly<Record<string, readonly string[]>> = {
  "gate.test": ["10.0.0.7", "169.254.169.254"],
  "edge.test": ["10.0.0.7"],
};

/** Reads an address. Nothing is sent: names are resolved from the table. */
async function read(text: string) {
  const check = createAddressCheck({
    resolveHost: ({ hostname }) => Promise.resolve(NAMES[hostname] ?? []),
    now: () => 0,
  });
  const { address: { url }, code } = await readNodeAddress(text, check);
  return [url, code];
}

for (
  const [text, url, code] of [
    ["127.0.0.1:1", "https://127.0.0.1:1"],
    ["http://[::1]:36060", "http://[::1]:36060"],
    ["192.168.1.20", "https://192.168.1.20:36060"],
    ["[fd00::1]", "https://[fd00::1]:36060"],
    [" edge.test ", "https://edge.test:36060"],
    // The DNS does not know it, such as a name of /etc/hosts.
    ["node1", "https://node1:36060"],
    ["https://10.0.0.7:36060/#t=abc234", "https://10.0.0.7:36060", "abc234"],
  ]
) {
  Deno.test(`readNodeAddress(${JSON.stringify(text)}) is ${url}`, async () => {
    assertEquals(await read(text!), [url, code]);
  });
}

for (
  const address of [
    "",
    "ftp://node1",
    "http://",
    "node1?x",
    "u:secret@node1",
    "http://127.0.0.1:1/#t=%",
    "http://127.0.0.1:1/#t=%ff",
    "http://127.0.0.1:1/#x",
    "http://a b",
  ]
) {
  Deno.test(`readNodeAddress(${JSON.stringify(address)}) refuses what is no address`, async () => {
    const error = await assertRejects(() => read(address), RegistryError, "Cannot add the agent: write https://");
    assertEquals([error.code, /secret|--to/.test(error.message)], ["INVALID", false]);
  });
}

for (
  const address of [
    "169.254.169.254",
    "http://169.254.1.1:36060",
    "0xa9fea9fe",
    "https://2852039166:36060",
    "[fe80::1]",
    "http://[fe80::1]:36060",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "100.100.100.200",
    "168.63.129.16",
    "224.0.0.251",
    "metadata.google.internal",
    "http://169.254.169.254/#t=abc",
    "gate.test",
    "http://gate.test:36060",
  ]
) {
  Deno.test(`readNodeAddress(${JSON.stringify(address)}) refuses what no agent has`, async () => {
    const error = await assertRejects(() => read(address), RegistryError, "metadata address");
    assertEquals(error.code, "DENIED");
  });
}
