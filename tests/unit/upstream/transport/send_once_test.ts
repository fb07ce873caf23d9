import { RegistryError } from "../../../../lib/oci/error.ts";
import { createEndpointSelector } from "../../../../lib/upstream/endpoints.ts";
import { sleepByTimer } from "../../../../lib/upstream/transport/retry.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { makeCertificate } from "../../../support/certificate.ts";
import { startFaultUpstream } from "../../../support/fault_upstream.ts";
import { peerTest } from "../../../support/peers.ts";
import { createTestSource, PATH, REGISTRY, REPO } from "../../../support/upstream_source.ts";

peerTest("[20] UpstreamSource rejects a self-signed certificate with the reason, and never falls back to http", [
  "openssl",
], async () => {
  const tls = await makeCertificate();
  await using upstream = startFaultUpstream({ tls });
  const image = upstream.addImage(PATH, "1");
  const sent: string[] = [];
  const { source } = createTestSource(upstream.url, {
    fetch: (request, init) => {
      sent.push(request.url);
      return fetch(request, init);
    },
  });
  const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "self-signed");
  assertEquals([error.code, error.status], ["UNAVAILABLE", 503]);
  assertStringIncludes(error.message, `from ${upstream.host}: its certificate is not known to be trusted`);
  assertEquals(sent.map((url) => new URL(url).protocol), ["https:"]);

  const clients: Deno.HttpClient[] = [];
  const endpointsOf = createEndpointSelector([{ host: REGISTRY, url: upstream.url, caCerts: [tls.cert] }], {
    createHttpClient: (options) => {
      const client = Deno.createHttpClient(options);
      clients.push(client);
      return client;
    },
  });
  assertEquals(await createTestSource([], { endpointsOf }).source.resolve(REPO, "1"), image.manifest);
  assertEquals(clients.length, 1);
  clients[0]!.close();
});

for (const isTrusted of [true, false]) {
  const what = isTrusted ? "trusted" : "untrusted";
  peerTest(
    `[20] UpstreamSource explains the error when a server uses a ${what} CA certificate`,
    ["openssl"],
    async () => {
      const tls = await makeCertificate({ isAuthority: true });
      await using upstream = startFaultUpstream({ tls });
      const clients: Deno.HttpClient[] = [];
      const caCerts = isTrusted ? [tls.cert] : [];
      const endpointsOf = createEndpointSelector([{ host: REGISTRY, url: upstream.url, caCerts }], {
        createHttpClient: (options) => {
          const client = Deno.createHttpClient(options);
          clients.push(client);
          return client;
        },
      });
      const { source } = createTestSource([], { endpointsOf });
      const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError);
      assertStringIncludes(error.message, `from ${upstream.host}: its certificate is a CA certificate (CA:TRUE)`);
      assertStringIncludes(error.message, "basicConstraints=CA:FALSE");
      for (const client of clients) client.close();
    },
  );
}

Deno.test("UpstreamSource reports that a port does not speak TLS", async () => {
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("plain"));
  const { source } = createTestSource(`https://127.0.0.1:${server.addr.port}`);
  await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "does not speak TLS");
});

Deno.test("[21] UpstreamSource fails immediately and names the host when a connection is refused", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const host = `127.0.0.1:${listener.addr.port}`;
  listener.close();
  const { source, waits, events } = createTestSource(`http://${host}`, {
    sleep: (delay, signal) => sleepByTimer(delay, signal),
  });
  const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError);
  assertEquals([error.code, error.status], ["UNAVAILABLE", 503]);
  assertEquals(error.message, `Cannot read manifest 1 of ${REPO} from ${host}: the connection was refused`);
  assertEquals([waits, events.filter(({ type }) => type === "error").length], [[], 3]);
});

Deno.test("UpstreamSource names the proxy in the error of a connection", async () => {
  const { source } = createTestSource("http://registry.test", {
    proxyOf: ({ hostname }) => hostname === "registry.test" ? "proxy.lan:3128" : undefined,
    fetch: () => Promise.reject(new TypeError("client error (Connect): Connection refused (os error 111)")),
  });
  const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError);
  const reason = "the connection was refused (through the proxy proxy.lan:3128)";
  assertEquals(error.message, `Cannot read manifest 1 of ${REPO} from registry.test: ${reason}`);
});

Deno.test("[76] UpstreamSource passes on when a registry that limits requests may be asked again", async () => {
  await using upstream = startFaultUpstream();
  upstream.fail({ status: 429, headers: { "Retry-After": "90" } });
  const error = await assertRejects(() => createTestSource(upstream.url).source.resolve(REPO, "1"), RegistryError);
  assertEquals([error.code, error.retryAfter], ["TOOMANYREQUESTS", 90]);
});

Deno.test("[21] UpstreamSource fails immediately and names the host when the DNS fails", async () => {
  const { source, waits } = createTestSource("https://no-such-registry.invalid");
  const error = await assertRejects(() => source.statBlob(REPO, `sha256:${"0".repeat(64)}`), RegistryError);
  assertEquals(error.status, 503);
  assertStringIncludes(error.message, "from no-such-registry.invalid: ");
  assertStringIncludes(error.message, "DNS");
  assert(waits.reduce((sum, wait) => sum + wait, 0) < 1000);
});

Deno.test("UpstreamSource limits the time until the head of a response is received", async () => {
  // The listener accepts connections but sends nothing.
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { source } = createTestSource(`http://127.0.0.1:${listener.addr.port}`, { timeouts: { connect: 50 } });
  const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "did not answer within 0.05 s");
  assertEquals(error.code, "UNAVAILABLE");
  listener.close();
});

Deno.test("[61] UpstreamSource keeps the cause of an error, without the query of its URL", async () => {
  await using upstream = startFaultUpstream();
  upstream.fail({ redirectTo: "http://no-such-storage.invalid/x?X-Signature=SECRET" });
  const { source, events } = createTestSource(upstream.url);
  const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "DNS");
  const shown = Deno.inspect([error, events], { depth: 9, strAbbreviateSize: 10_000 });
  assertStringIncludes(shown, "no-such-storage.invalid");
  assert(!shown.includes("SECRET"), shown);
});
