import { RegistryError } from "../../../../lib/oci/error.ts";
import type { Fetch } from "../../../../lib/upstream/transport/middleware.ts";
import type { AddressCheck } from "../../../../lib/upstream/trust/address_check.ts";
import { type AddressClass, classifyHost } from "../../../../lib/upstream/trust/private_address.ts";
import { withRedirects } from "../../../../lib/upstream/trust/redirect.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const REGISTRY = "https://registry.example.com";

// Names of the internet that resolve to addresses of other networks, or to none.
const RESOLVED: Record<string, AddressClass> = {
  "rebound.example.net": "private",
  "metadata.example.net": "forbidden",
};
const check: AddressCheck = ({ hostname }) =>
  Promise.resolve({ class: RESOLVED[hostname] ?? classifyHost(hostname), isResolved: hostname !== "late.example.net" });

/** Creates a network in which each URL of `hops` redirects to its value, and records the requests. */
function network(hops: Record<string, string>, registry = REGISTRY) {
  const seen: Request[] = [];
  const next: Fetch = (request) => {
    seen.push(request);
    const to = hops[request.url];
    return Promise.resolve(
      to === undefined ? new Response("found") : new Response(null, { status: 307, headers: { location: to } }),
    );
  };
  return { fetch: withRedirects({ registry: new URL(registry), checkAddress: check })(next), seen };
}

const START = `${REGISTRY}/v2/a/blobs/x`;
const REFUSED: [name: string, location: string, registry: string, reason: string][] = [
  ["a downgrade from https to http", "http://cdn.example.net/x", REGISTRY, "does not use https"],
  ["[19] a link-local address", "https://169.254.169.254/latest/meta-data", REGISTRY, "link-local"],
  ["[90] a metadata address in IPv6", "https://[fd00:ec2::254]/", REGISTRY, "metadata address"],
  ["[90] a name of a metadata service", "https://metadata.google.internal/", REGISTRY, "metadata address"],
  ["[90] a name that resolves to a metadata address", "https://metadata.example.net/", REGISTRY, "metadata address"],
  ["[90] an IPv4 address behind NAT64", "https://[64:ff9b::10.0.0.1]/", REGISTRY, "private address"],
  ["[90] a name that is not resolved in time", "https://late.example.net/", REGISTRY, "could not be resolved in time"],
  ["[90] this machine, from a private registry", "http://127.0.0.1:6443/", "http://10.0.0.1", "this machine"],
  [
    "[90] a metadata address, from this machine",
    "http://169.254.169.254/",
    "http://127.0.0.1:5000",
    "metadata address",
  ],
  [
    "[90] a name of a metadata address, from a private registry",
    "http://metadata.example.net/",
    "http://10.0.0.1",
    "metadata",
  ],
  ["[19] this machine", "https://localhost:6443/api", REGISTRY, "private address"],
  ["[19] a private address in an unusual notation", "https://0x7f.1/", REGISTRY, "private address"],
  ["[19] a name that resolves to a private address", "https://rebound.example.net/x", REGISTRY, "private address"],
  ["another scheme", "file:///etc/passwd", REGISTRY, "not an http or https URL"],
  ["a Location that is not a URL", "https://[", REGISTRY, "not a URL"],
  ["a user name in the URL", "https://user:pw@cdn.example.net/x", REGISTRY, "user name"],
];
for (const [name, location, registry, reason] of REFUSED) {
  Deno.test(`withRedirects() does not follow ${name}`, async () => {
    const start = `${registry}/v2/a/blobs/x`;
    const { fetch, seen } = network({ [start]: location }, registry);
    const error = await assertRejects(() => fetch(new Request(start)), RegistryError, reason);
    assertEquals([error.code, seen.length], ["BAD_GATEWAY", 1]);
  });
}

const FOLLOWED: [name: string, from: string, location: string, to: string][] = [
  ["a relative path", START, "/v2/a/blobs/y?sig=1", `${REGISTRY}/v2/a/blobs/y?sig=1`],
  [
    "an upgrade from http to https",
    "http://registry.example.com/x",
    "https://registry.example.com/x",
    "https://registry.example.com/x",
  ],
  [
    "a private registry's redirect to its private storage",
    "http://10.0.0.1:5000/x",
    "http://10.0.0.2:9000/x",
    "http://10.0.0.2:9000/x",
  ],
  ["another port of the registry's own host", START, `${REGISTRY}:8443/x`, `${REGISTRY}:8443/x`],
  [
    "a registry of this machine to its storage",
    "http://127.0.0.1:5000/x",
    "http://localhost:9000/x",
    "http://localhost:9000/x",
  ],
];
for (const [name, from, location, to] of FOLLOWED) {
  Deno.test(`withRedirects() follows ${name}`, async () => {
    const { fetch, seen } = network({ [from]: location }, new URL(from).origin);
    assertEquals(await (await fetch(new Request(from))).text(), "found");
    assertEquals(seen.at(-1)?.url, to);
  });
}

Deno.test("[60] withRedirects() does not send credentials to another origin", async () => {
  const cdn = "https://cdn.example.net/x?sig=1";
  const { fetch, seen } = network({ [START]: `${START}2`, [`${START}2`]: cdn });
  const headers = { authorization: "Basic c2VjcmV0", cookie: "a=b", range: "bytes=0-1" };
  await (await fetch(new Request(START, { headers }))).text();
  assertEquals(seen.map(({ headers }) => ["authorization", "cookie", "range"].map((name) => headers.get(name))), [
    ["Basic c2VjcmV0", "a=b", "bytes=0-1"],
    ["Basic c2VjcmV0", "a=b", "bytes=0-1"],
    [null, null, "bytes=0-1"],
  ]);
});

Deno.test("[18] withRedirects() follows at most ten redirects", async () => {
  const { fetch, seen } = network({ [START]: START });
  await assertRejects(() => fetch(new Request(START)), RegistryError, "more than 10");
  assertEquals(seen.length, 11);
});

Deno.test("withRedirects() does not repeat a POST", async () => {
  const { fetch, seen } = network({ [START]: "https://cdn.example.net/x" });
  const response = await fetch(new Request(START, { method: "POST", body: "secret" }));
  assertEquals([response.status, seen.length], [307, 1]);
});

for (
  const target of [
    "http://169.254.169.254/x",
    "http://2852039166/x",
    "http://[fe80::1]/x",
    "http://[::ffff:169.254.169.254]/x",
  ]
) {
  Deno.test(`[19] withRedirects() does not follow a private registry's redirect to ${target}`, async () => {
    const sent: string[] = [];
    const fetch = withRedirects({ registry: new URL("http://10.0.0.1"), checkAddress: check })(
      (request) => {
        sent.push(request.url);
        return Promise.resolve(new Response(null, { status: 307, headers: { location: target } }));
      },
    );
    await assertRejects(() => fetch(new Request("http://10.0.0.1/v2/")), RegistryError, "link-local");
    assertEquals(sent, ["http://10.0.0.1/v2/"]);
  });
}
