import { computeDigest } from "../../../../lib/oci/digest.ts";
import { RegistryError } from "../../../../lib/oci/error.ts";
import { createEndpointSelector } from "../../../../lib/upstream/endpoints.ts";
import { TransportError } from "../../../../lib/upstream/transport/transport_error.ts";
import { createAddressCheck } from "../../../../lib/upstream/trust/address_check.ts";
import { createConnectionGuard } from "../../../../lib/upstream/trust/address_rule.ts";
import type { UpstreamOptions } from "../../../../lib/upstream/upstream_options.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { startFaultUpstream } from "../../../support/fault_upstream.ts";
import { createTestSource, PATH, patternBytes, readAll, REGISTRY, REPO } from "../../../support/upstream_source.ts";

/** A server on 127.0.0.2 and another one on the same port of 127.0.0.3, and the connections to each of them. */
function startTwoServers(handler: (request: Request) => Response) {
  const hosts = new Set<string | null>();
  const serve = (hostname: string, port: number) => {
    const connections = new Set<number>();
    const server = Deno.serve({ hostname, port, onListen: () => {} }, (request, { remoteAddr }) => {
      connections.add(remoteAddr.port);
      hosts.add(request.headers.get("host"));
      return handler(request);
    });
    return { server, connections };
  };
  const first = serve("127.0.0.2", 0);
  const { port } = first.server.addr;
  const second = serve("127.0.0.3", port);
  return {
    port,
    /** The `Host` headers. */
    hosts,
    count: () => [first.connections.size, second.connections.size],
    async [Symbol.asyncDispose]() {
      await Promise.all([first.server.shutdown(), second.server.shutdown()]);
    },
  };
}

/** Creates a source whose names resolve to each of `answers` in turn, the last one again and again. */
function createResolvingSource(url: string, answers: readonly string[][], options: Partial<UpstreamOptions> = {}) {
  const clients: Deno.HttpClient[] = [];
  let lookups = 0;
  const made = createTestSource([], {
    endpointsOf: createEndpointSelector([{ host: REGISTRY, url, maxConnections: 1 }]),
    resolveHost: () => Promise.resolve(answers[Math.min(lookups++, answers.length - 1)]),
    createHttpClient: (options) => {
      clients.push(Deno.createHttpClient(options));
      return clients.at(-1)!;
    },
    ...options,
  });
  return {
    ...made,
    count: () => ({ lookups, clients: clients.length }),
    [Symbol.dispose]: () => clients.forEach((client) => client.close()),
  };
}

const BLOB = patternBytes(3000);
const DIGEST = computeDigest(BLOB);

Deno.test("[90] UpstreamSource connects to the address of a redirect that was checked, by one connection", async () => {
  await using servers = startTwoServers(() => new Response(BLOB as BufferSource));
  await using upstream = startFaultUpstream();
  upstream.fail({ kind: "blob", redirectTo: `http://storage.test:${servers.port}/x` });
  using made = createResolvingSource(upstream.url, [["127.0.0.2"], ["127.0.0.3"]]);
  for (let i = 0; i < 3; i++) {
    assertEquals(await readAll((await made.source.openBlobWith(REPO, DIGEST, {}))!.body), BLOB);
  }
  assertEquals([servers.count(), made.count()], [[1, 0], { lookups: 1, clients: 1 }]);
  assertEquals([...servers.hosts], [`storage.test:${servers.port}`]);
});

Deno.test("[90] UpstreamSource connects to the address of a token server that was checked", async () => {
  await using servers = startTwoServers(() => Response.json({ token: "t", expires_in: 300 }));
  const registry = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
    if (request.headers.get("authorization") === "Bearer t") return new Response(BLOB as BufferSource);
    const challenge = `Bearer realm="http://auth.test:${servers.port}/token",service="x"`;
    return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
  });
  await using _registry = registry;
  const url = `http://127.0.0.1:${registry.addr.port}`;
  using made = createResolvingSource(url, [["127.0.0.2"], ["127.0.0.3"]]);
  assertEquals(await readAll((await made.source.openBlobWith(REPO, DIGEST, {}))!.body), BLOB);
  assertEquals([servers.count(), made.count()], [[1, 0], { lookups: 1, clients: 1 }]);
  assertEquals([...servers.hosts], [`auth.test:${servers.port}`]);
});

Deno.test("[90] UpstreamSource tries the next address of a name, without resolving it again", async () => {
  await using servers = startTwoServers(() => new Response(BLOB as BufferSource));
  await using upstream = startFaultUpstream();
  upstream.fail({ kind: "blob", redirectTo: `http://storage.test:${servers.port}/x` });
  using made = createResolvingSource(upstream.url, [["127.0.0.4", "127.0.0.3"], ["127.0.0.2"]]);
  assertEquals(await readAll((await made.source.openBlobWith(REPO, DIGEST, {}))!.body), BLOB);
  assertEquals([servers.count(), made.count().lookups], [[0, 1], 1]);
});

Deno.test("[90] UpstreamSource refuses a name that is bound to another class between check and connection", async () => {
  await using servers = startTwoServers(() => new Response("internal"));
  await using upstream = startFaultUpstream();
  upstream.fail({ kind: "blob", redirectTo: `http://storage.test:${servers.port}/x` });
  // Every look at the clock is a minute later, so that the check of the redirect is forgotten before the connection.
  let minutes = 0;
  const answers = [["127.0.0.2"], ["169.254.169.254"]];
  using made = createResolvingSource(upstream.url, answers, { now: () => ++minutes * 60_000 });
  await assertRejects(
    () => made.source.openBlobWith(REPO, DIGEST, {}),
    RegistryError,
    "link-local, multicast or metadata",
  );
  assertEquals(servers.count(), [0, 0]);
});

Deno.test("[90] UpstreamSource lets the runtime resolve the name of its own endpoint", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  const { port } = new URL(upstream.url);
  using made = createResolvingSource(`http://localhost:${port}`, [["127.0.0.3"]]);
  assertEquals(await made.source.resolve(REPO, "1"), image.manifest);
  assertEquals(made.count(), { lookups: 0, clients: 0 });
});

Deno.test("[90] UpstreamSource refuses a registry of the page whose name is bound to a link-local address later", async () => {
  await using servers = startTwoServers(() => Response.json({}, { status: 404 }));
  let minutes = 0;
  using made = createResolvingSource("http://registry.test", [["127.0.0.2"], ["169.254.169.254"]], {
    endpointsOf: createEndpointSelector([
      { host: REGISTRY, url: `http://registry.test:${servers.port}`, isFromPage: true },
    ]),
    now: () => ++minutes * 60_000,
    // Sends nothing but what is for the servers of this test.
    fetch: (request, init) => {
      assertEquals(new URL(request.url).hostname, "127.0.0.2");
      return fetch(request, init);
    },
  });
  assertEquals(await made.source.resolve(REPO, "1"), undefined);
  assertEquals(servers.count(), [1, 0]);
  await assertRejects(() => made.source.resolve(REPO, "2"), RegistryError, "link-local, multicast or metadata");
  assertEquals([servers.count(), [...servers.hosts]], [[1, 0], [`registry.test:${servers.port}`]]);
});

type OwnHost = [name: string, url: string, expected: string[] | undefined | [failure: string, message: string]];
const OWN_HOSTS: OwnHost[] = [
  ["the addresses of plain HTTP", "http://a.lan:5000", ["10.0.0.2", "fd00::2"]],
  ["none for https, where the certificate decides", "https://a.lan", undefined],
  ["none for an IP address", "http://127.0.0.1:5000", undefined],
  ["none where a proxy resolves the name", "http://far.example.com", undefined],
  ["an error for a link-local address", "http://169.254.169.254", ["blocked", "link-local, multicast or metadata"]],
  ["an error for such an address of a name", "http://bound.test", ["blocked", "link-local, multicast or metadata"]],
  ["an error for that by https too", "https://bound.test", ["blocked", "link-local, multicast or metadata"]],
  ["an error for a metadata service", "http://metadata.google.internal", ["blocked", "link-local, multicast"]],
  ["an error for an unknown public name", "https://c.example.com", ["dns", "could not be resolved"]],
  ["an error for an unknown private name", "http://b.lan", ["dns", "could not be resolved"]],
];
for (const [name, url, expected] of OWN_HOSTS) {
  Deno.test(`[90] createConnectionGuard() of a registry of the page returns ${name}`, async () => {
    const guard = createConnectionGuard({ registry: new URL(url), isFromPage: true, checkAddress: checkTable() });
    const isError = Array.isArray(expected) && (expected[0] === "blocked" || expected[0] === "dns");
    if (!isError) return assertEquals(await guard(new URL(`${url}/v2/`)), expected);
    const error = await assertRejects(() => guard(new URL(`${url}/v2/`)), TransportError, expected[1]);
    assertEquals(error.failure, expected[0]);
  });
}

type Guarded = [name: string, registry: string, to: string, expected: string[] | undefined | Error];
const GUARDED: Guarded[] = [
  ["the addresses of plain HTTP", "http://10.0.0.1", "http://a.lan/", ["10.0.0.2", "fd00::2"]],
  ["none for https, where the certificate decides", "https://10.0.0.1", "https://a.lan/", undefined],
  ["none for an IP address", "http://10.0.0.1", "http://10.0.0.3/", undefined],
  ["none for the endpoint itself", "http://a.lan:5000", "http://A.lan.:80/", undefined],
  ["none for a named token server", "http://public.example.com", "http://auth.lan/", undefined],
  ["none where a proxy resolves the name", "http://10.0.0.1", "http://far.example.com/", undefined],
  [
    "none for a name that a private registry knows, and this machine does not",
    "http://10.0.0.1",
    "http://b.lan/",
    undefined,
  ],
  ["an error for a refused address", "http://public.example.com", "http://a.lan/", new Error("a private address")],
  ["an error for https too", "https://public.example.com", "https://a.lan/", new Error("a private address")],
  [
    "an error for a public registry's unknown name",
    "https://public.example.com",
    "https://c.example.com/",
    new Error("not known"),
  ],
];
const ADDRESSES: Record<string, string[] | undefined> = {
  "a.lan": ["10.0.0.2", "fd00::2"],
  "b.lan": [],
  "c.example.com": [],
  "public.example.com": ["93.184.216.34"],
  "bound.test": ["93.184.216.34", "169.254.169.254"],
};
function checkTable() {
  return createAddressCheck({ resolveHost: ({ hostname }) => Promise.resolve(ADDRESSES[hostname]), now: () => 0 });
}
for (const [name, registry, to, expected] of GUARDED) {
  Deno.test(`[90] createConnectionGuard() returns ${name}`, async () => {
    const checkAddress = checkTable();
    const guard = createConnectionGuard({ registry: new URL(registry), tokenHosts: ["auth.lan"], checkAddress });
    if (!(expected instanceof Error)) return assertEquals(await guard(new URL(to)), expected);
    const error = await assertRejects(() => guard(new URL(to)), TransportError, expected.message);
    assertEquals(error.failure, "blocked");
  });
}
