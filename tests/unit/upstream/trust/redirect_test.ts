import { RegistryError } from "../../../../lib/oci/error.ts";
import type { Fetch } from "../../../../lib/upstream/transport/middleware.ts";
import { isPrivateHost } from "../../../../lib/upstream/trust/private_address.ts";
import { withRedirects } from "../../../../lib/upstream/trust/redirect.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";

const REGISTRY = "https://registry.example.com";

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
  const isPrivate = (url: URL) =>
    Promise.resolve(isPrivateHost(url.hostname) || url.hostname === "rebound.example.net");
  return { fetch: withRedirects({ registry: new URL(registry), isPrivate })(next), seen };
}

const START = `${REGISTRY}/v2/a/blobs/x`;
const REFUSED: [name: string, location: string, registry: string, reason: string][] = [
  ["a downgrade from https to http", "http://cdn.example.net/x", REGISTRY, "does not use https"],
  ["[19] a link-local address", "https://169.254.169.254/latest/meta-data", REGISTRY, "private address"],
  ["[19] this machine", "https://localhost:6443/api", REGISTRY, "private address"],
  ["[19] a private address in an unusual notation", "https://0x7f.1/", REGISTRY, "private address"],
  ["[19] a name that resolves to a private address", "https://rebound.example.net/x", REGISTRY, "private address"],
  ["another scheme", "file:///etc/passwd", REGISTRY, "not an http or https URL"],
  ["a Location that is not a URL", "https://[", REGISTRY, "not a URL"],
  ["a user name in the URL", "https://user:pw@cdn.example.net/x", REGISTRY, "user name"],
];
for (const [name, location, registry, reason] of REFUSED) {
  Deno.test(`withRedirects() does not follow ${name}`, async () => {
    const { fetch, seen } = network({ [START]: location }, registry);
    const error = await assertRejects(() => fetch(new Request(START)), RegistryError, reason);
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
    const fetch = withRedirects({ registry: new URL("http://10.0.0.1"), isPrivate: () => Promise.resolve(true) })(
      (request) => {
        sent.push(request.url);
        return Promise.resolve(new Response(null, { status: 307, headers: { location: target } }));
      },
    );
    await assertRejects(() => fetch(new Request("http://10.0.0.1/v2/")), RegistryError, "link-local");
    assertEquals(sent, ["http://10.0.0.1/v2/"]);
  });
}
