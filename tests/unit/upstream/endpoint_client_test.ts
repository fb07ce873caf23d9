import { RegistryError } from "../../../lib/oci/error.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";
import { type Fault, startFaultUpstream } from "../../support/fault_upstream.ts";
import { freePorts } from "../../support/object_storage.ts";
import { createTestSource, PATH, REGISTRY, REPO } from "../../support/upstream_source.ts";

const [CLOSED_PORT] = freePorts(1);
const REFUSALS: [name: string, fault: Fault, manifests: number][] = [
  ...[300, 304, 400, 401, 402, 403, 404, 405, 406, 409, 410, 451, 500, 501, 502, 504, 505].map((
    status,
  ): [string, Fault, number] => [
    `${status}`,
    { status },
    1,
  ]),
  ...[301, 302, 303, 307, 308].map((status): [string, Fault, number] => [
    `${status} to a 403`,
    { status, redirectTo: "/signed" },
    1,
  ]),
  ["a redirect without a target", { status: 307 }, 1],
  ["200 without a digest", { status: 200 }, 1],
  ["a redirect to a server that does not answer", { redirectTo: `http://127.0.0.1:${CLOSED_PORT}/` }, 1],
  ["a redirect to a forbidden address", { redirectTo: "http://169.254.169.254/" }, 1],
];
for (const [name, fault, gets] of REFUSALS) {
  Deno.test(`[71] UpstreamSource fetches a manifest and the size of a blob when HEAD is answered with ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const image = upstream.addImage(PATH, "1");
    upstream.fail({ method: "HEAD", path: "/manifests/", ...fault });
    upstream.fail({ method: "HEAD", path: "/blobs/", ...fault });
    upstream.fail({ kind: "other", path: "/signed", status: 403 });
    const { source } = createTestSource(upstream.url);
    assertEquals(await source.headManifest(REPO, "1"), image.manifest);
    assertEquals(upstream.count("manifest", "GET"), gets);
    // The manifest that was fetched is not requested again.
    assertEquals(await source.readManifest(REPO, image.manifest.digest), image.manifestBytes);
    assertEquals(upstream.count("manifest", "GET"), gets);
    assertEquals(await source.statBlob(REPO, image.layers[0]!.digest), image.layers[0]!.size);
    assertEquals(upstream.requests.at(-1)?.headers.get("range"), "bytes=0-0");
  });
}

Deno.test("[15] [71] UpstreamSource does not answer a rate limit of HEAD with a GET, which would count", async () => {
  await using upstream = startFaultUpstream();
  upstream.addImage(PATH, "1");
  upstream.fail({ method: "HEAD", status: 429 });
  const { source } = createTestSource(upstream.url);
  await assertRejects(() => source.headManifest(REPO, "1", { isUrgent: true }), RegistryError, "limits how often");
  assertEquals(upstream.requests.map(({ method }) => method), ["HEAD"]);
  upstream.heal();
  upstream.fail({ method: "HEAD", status: 429, times: 1 });
  await source.headManifest(REPO, "1");
  assertEquals(upstream.requests.map(({ method }) => method), ["HEAD", "HEAD", "HEAD"]);
});

Deno.test("[71] UpstreamSource asks with GET only the endpoint that refuses HEAD", async () => {
  await using mirror = startFaultUpstream();
  await using registry = startFaultUpstream();
  const image = registry.addImage(PATH, "1");
  const { source } = createTestSource([{ host: REGISTRY, url: mirror.url }, { host: REGISTRY, url: registry.url }]);
  assertEquals(await source.headManifest(REPO, "1"), image.manifest);
  assertEquals(await source.headManifest(REPO, "2"), undefined);
  // GETs count against the rate limits of registries.
  assertEquals(registry.requests.map(({ method, status }) => `${method} ${status}`), [
    "HEAD 200",
    "HEAD 404",
    "GET 404",
  ]);
});

Deno.test("[76] UpstreamSource names itself in every request, also to the token server and the storage", async () => {
  await using storage = startFaultUpstream();
  await using upstream = startFaultUpstream({ auth: { type: "bearer" } });
  const image = upstream.addImage(PATH, "1");
  storage.addImage(PATH, "1");
  upstream.fail({ kind: "blob", redirectTo: `${storage.url}{path}` });
  const { source } = createTestSource(upstream.url, { userAgent: "crpe/1.2.3", via: () => "1.1 crpe-a" });
  await source.resolve(REPO, "1");
  await (await source.openBlobWith(REPO, image.layers[0]!.digest, {}))?.body.cancel();
  const agents = [...upstream.requests, ...storage.requests].map((
    { kind, headers },
  ) => [kind, headers.get("user-agent")]);
  assertEquals(agents.map(([, agent]) => agent), agents.map(() => "crpe/1.2.3"));
  assertEquals(new Set(agents.map(([kind]) => kind)), new Set(["manifest", "token", "blob"]));
  // The storage is no registry, so that it cannot lead back.
  assertEquals(storage.requests.map(({ headers }) => headers.get("via")), [null]);
  assertEquals(upstream.requests[0]?.headers.get("via"), "1.1 crpe-a");
});

for (const status of [400, 422]) {
  Deno.test(`[76] UpstreamSource asks a registry that refuses ns with ${status} without it, and remembers that`, async () => {
    await using upstream = startFaultUpstream();
    const image = upstream.addImage(PATH, "1");
    upstream.fail({ kind: "manifest", times: 1, status });
    const { source } = createTestSource(upstream.url);
    assertEquals(await source.resolve(REPO, "1"), image.manifest);
    await source.statBlob(REPO, image.layers[0]!.digest);
    assertEquals(upstream.requests.map(({ query }) => query), [`?ns=${REGISTRY}`, "", ""]);
  });
}

Deno.test("[76] UpstreamSource keeps ns when the request is wrong without it too", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", times: 2, status: 400 });
  const { source } = createTestSource(upstream.url);
  await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "answers 400");
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  assertEquals(upstream.requests.at(-1)?.query, `?ns=${REGISTRY}`);
});

Deno.test("[76] UpstreamSource does not ask an endpoint of several registries without ns", async () => {
  await using upstream = startFaultUpstream();
  upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", status: 400 });
  const { source } = createTestSource([{ host: "*", url: upstream.url }]);
  await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "answers 400");
  assertEquals(upstream.requests.map(({ query }) => query), [`?ns=${REGISTRY}`]);
});

Deno.test("[76] UpstreamSource sends no ns where the configuration says so", async () => {
  await using upstream = startFaultUpstream();
  upstream.addImage(PATH, "1");
  await createTestSource([{ host: REGISTRY, url: upstream.url, hasNamespace: false }]).source.resolve(REPO, "1");
  assertEquals(upstream.requests.map(({ query }) => query), [""]);
});

Deno.test("[75] UpstreamSource does not retry a loop, and goes on to the next endpoint", async () => {
  await using loop = startFaultUpstream();
  await using registry = startFaultUpstream();
  const image = registry.addImage(PATH, "1");
  loop.fail({ status: 508 });
  const endpoints = [{ host: REGISTRY, url: loop.url }, { host: REGISTRY, url: registry.url }];
  const { source } = createTestSource(endpoints);
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  // A loop has no content, so the answer of the registry counts.
  assertEquals(await source.resolve(REPO, "2"), undefined);
  assertEquals(loop.count(), 2);
  const alone = createTestSource(loop.url).source;
  const error = await assertRejects(() => alone.resolve(REPO, "1"), RegistryError, "leads in a circle");
  assertEquals([error.status, loop.count()], [508, 3]);
});

Deno.test("[75] UpstreamSource pays once for an endpoint that does not answer", async () => {
  await using registry = startFaultUpstream();
  const image = registry.addImage(PATH, "1");
  let asked = 0;
  const source =
    createTestSource([{ host: REGISTRY, url: "http://silent.test" }, { host: REGISTRY, url: registry.url }], {
      timeouts: { connectOfSeveral: 500 },
      fetch: (request) => {
        if (new URL(request.url).host !== "silent.test") return fetch(request);
        asked++;
        return new Promise((_, reject) =>
          request.signal.addEventListener("abort", () => reject(request.signal.reason))
        );
      },
    }).source;
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  const { digest, size } = image.layers[0]!;
  assertEquals(await source.statBlob(REPO, digest), size);
  assertEquals(await source.listTags(REPO), { tags: ["1"], isMore: false });
  // One request, and the probe.
  assertEquals(asked, 2);
  // Only the silent endpoint could have it: it is not taken for missing.
  const error = await assertRejects(() => source.resolve(REPO, "2"), RegistryError, "it is tried again in");
  assertEquals([error.status, asked], [503, 2]);
});

Deno.test("[75] UpstreamSource fails at once while its only endpoint does not answer, until a probe succeeds", async () => {
  let time = 0;
  let isSilent = true;
  const asked: string[] = [];
  const { source } = createTestSource("http://silent.test", {
    now: () => time,
    timeouts: { connect: 20 },
    fetch: (request) => {
      asked.push(new URL(request.url).pathname);
      if (!isSilent) return Promise.resolve(Response.json({ tags: ["a"] }));
      return new Promise((_, reject) => request.signal.addEventListener("abort", () => reject(request.signal.reason)));
    },
  });
  await assertRejects(() => source.listTags(REPO), RegistryError, "did not answer");
  const error = await assertRejects(() => source.listTags(REPO), RegistryError, "it is tried again in 30 s");
  assertEquals([error.retryAfter, asked], [30, [`/v2/${PATH}/tags/list`, "/v2/"]]);
  isSilent = false;
  time = 30_000;
  assertEquals(await source.listTags(REPO), { tags: ["a"], isMore: false });
  assertEquals(asked.slice(2), ["/v2/", `/v2/${PATH}/tags/list`]);
});

Deno.test("[75] UpstreamSource transfers a bounded number of blobs at once, and manifests beside them", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  let [open, most] = [0, 0];
  const gates: (() => void)[] = [];
  const { source } = createTestSource([{ host: REGISTRY, url: upstream.url, maxConnections: 4 }], {
    fetch: async (request) => {
      if (!request.url.includes("/blobs/")) return await fetch(request);
      most = Math.max(most, ++open);
      await new Promise<void>((resolve) => gates.push(resolve));
      return await fetch(request);
    },
  });
  const { digest, size } = image.layers[0]!;
  const all = Array.from({ length: 9 }, async () => {
    const opened = await source.openBlobWith(REPO, digest, { size });
    open--;
    return (await new Response(opened!.body as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer()).byteLength;
  });
  while (gates.length < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals((await source.resolve(REPO, "1"))?.digest, image.manifest.digest);
  const opening = setInterval(() => gates.splice(0).forEach((resolve) => resolve()), 1);
  assertEquals(await Promise.all(all), new Array(9).fill(size));
  clearInterval(opening);
  assertEquals(most, 3);
});
