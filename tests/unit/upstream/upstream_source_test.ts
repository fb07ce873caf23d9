import { computeDigest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { MEDIA_TYPE } from "../../../lib/oci/manifest.ts";
import { createSingleEndpointSelector } from "../../../lib/upstream/endpoints.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { type Fault, startFaultUpstream } from "../../support/fault_upstream.ts";
import { createTestSource, PATH, patternBytes, REGISTRY, REPO } from "../../support/upstream_source.ts";

const UNKNOWN = computeDigest("unknown");

Deno.test("UpstreamSource resolves and reads a manifest with one request", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  assertEquals(await source.readManifest(REPO, image.manifest.digest), image.manifestBytes);
  assertEquals(upstream.requests.map(({ method, path }) => [method, path]), [["GET", `/v2/${PATH}/manifests/1`]]);
  const accept = upstream.requests[0]!.headers.get("accept") ?? "";
  for (const type of Object.values(MEDIA_TYPE)) assertStringIncludes(accept, type);
  assertEquals(upstream.requests[0]!.headers.get("accept-encoding"), "identity");
});

Deno.test("UpstreamSource resolves a digest, and reads a manifest that was not resolved before", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.readManifest(REPO, image.manifest.digest), image.manifestBytes);
  assertEquals(await source.resolve(REPO, image.manifest.digest), image.manifest);
});

Deno.test("UpstreamSource sends one request for concurrent reads of a manifest", async () => {
  await using upstream = startFaultUpstream();
  upstream.addImage(PATH, "1");
  const { source } = createTestSource(upstream.url);
  const all = await Promise.all(Array.from({ length: 50 }, () => source.resolve(REPO, "1")));
  assertEquals([new Set(all.map((one) => one?.digest)).size, upstream.count("manifest")], [1, 1]);
});

Deno.test("UpstreamSource returns undefined for content that the registry does not have", async () => {
  await using upstream = startFaultUpstream();
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.resolve(REPO, "1"), undefined);
  assertEquals(await source.headManifest(REPO, "1"), undefined);
  assertEquals(await source.readManifest(REPO, UNKNOWN), undefined);
  assertEquals(await source.statBlob(REPO, UNKNOWN), undefined);
  assertEquals(await source.openBlobWith(REPO, UNKNOWN, {}), undefined);
  assertEquals(await source.openBlobWith(REPO, UNKNOWN, { range: { start: 5 } }), undefined);
  assertEquals(await source.listTags(REPO), undefined);
  assertEquals(await source.listReferrers(REPO, UNKNOWN), { referrers: [] });
});

Deno.test("UpstreamSource resolves a tag with a HEAD", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  const { source } = createTestSource(upstream.url);
  assertEquals(await source.headManifest(REPO, "1"), image.manifest);
  assertEquals([upstream.count("manifest", "HEAD"), upstream.count("manifest", "GET")], [1, 0]);
});

for (
  const [name, fault] of [
    ["has no digest", { headers: { "Docker-Content-Digest": "" } }],
    ["has no length", { contentLength: null }],
    ["is not allowed", { status: 405 }],
  ] satisfies [string, Fault][]
) {
  Deno.test(`UpstreamSource reads the manifest when the HEAD ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const image = upstream.addImage(PATH, "1");
    upstream.fail({ kind: "manifest", method: "HEAD", ...fault });
    assertEquals(await createTestSource(upstream.url).source.headManifest(REPO, "1"), image.manifest);
    assertEquals(upstream.count("manifest", "GET"), 1);
  });
}

Deno.test("UpstreamSource takes a missing media type from Content-Type, without its parameters", async () => {
  await using upstream = startFaultUpstream();
  const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, manifests: [] }));
  upstream.addManifest(PATH, bytes, { tag: "1", mediaType: `${MEDIA_TYPE.dockerList}; charset=utf-8` });
  assertEquals((await createTestSource(upstream.url).source.resolve(REPO, "1"))?.mediaType, MEDIA_TYPE.dockerList);
});

const WRONG: [name: string, fault: Fault, by: "tag" | "digest", reason: string][] = [
  ["[13] a manifest without the requested digest", { body: "{}" }, "digest", "has digest"],
  ["[13] a wrong Docker-Content-Digest", { headers: { "Docker-Content-Digest": UNKNOWN } }, "tag", "registry reports"],
  [
    "[13] a wrong Docker-Content-Digest with the right bytes",
    { headers: { "Docker-Content-Digest": UNKNOWN } },
    "digest",
    "registry reports",
  ],
  [
    "[22] a manifest of 5 MiB with a length",
    { body: patternBytes(5 * 1024 * 1024) },
    "tag",
    "5242880 bytes, more than the 4194304",
  ],
  [
    "[22] a manifest of 5 MiB without a length",
    { body: patternBytes(5 * 1024 * 1024), contentLength: null },
    "tag",
    "more than the 4194304",
  ],
  [
    "content that is not a manifest",
    { body: "<html>", headers: { "Docker-Content-Digest": "" } },
    "tag",
    "Cannot use manifest",
  ],
  [
    "a manifest of Docker schema 1",
    { body: `{"schemaVersion":1,"fsLayers":[]}`, headers: { "Docker-Content-Digest": "" } },
    "tag",
    "schema 1",
  ],
];
for (const [name, fault, by, reason] of WRONG) {
  Deno.test(`UpstreamSource rejects ${name}`, async () => {
    await using upstream = startFaultUpstream();
    const { manifest } = upstream.addImage(PATH, "1");
    upstream.fail({ kind: "manifest", ...fault });
    const { source, events } = createTestSource(upstream.url);
    const error = await assertRejects(
      () => source.resolve(REPO, by === "tag" ? "1" : manifest.digest),
      RegistryError,
      reason,
    );
    assertEquals([error.code, error.status, upstream.count()], ["BAD_GATEWAY", 502, 1]);
    assertStringIncludes(error.message, REPO);
    assertEquals(events.filter(({ type }) => type === "wrong"), [{ type: "wrong", host: upstream.host, error }]);
  });
}

Deno.test("[22] UpstreamSource stops reading a manifest at the size limit", async () => {
  await using upstream = startFaultUpstream();
  // The body never ends, so reading all of it would take forever.
  upstream.fail({
    kind: "manifest",
    status: 200,
    body: patternBytes(4 * 1024 * 1024 + 1),
    contentLength: null,
    stallAfter: Infinity,
  });
  await assertRejects(
    () => createTestSource(upstream.url).source.resolve(REPO, "1"),
    RegistryError,
    "more than the 4194304",
  );
});

Deno.test("UpstreamSource decodes a manifest that is gzipped although not requested", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", gzip: true });
  assertEquals(await createTestSource(upstream.url).source.resolve(REPO, "1"), image.manifest);
});

Deno.test("UpstreamSource requests a manifest again when it is cut off", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", cutAfter: 10, times: 2 });
  assertEquals(await createTestSource(upstream.url).source.resolve(REPO, "1"), image.manifest);
  assertEquals(upstream.count("manifest"), 3);
});

Deno.test("[15] UpstreamSource waits for the Retry-After of a 429", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", status: 429, headers: { "Retry-After": "7" }, times: 2 });
  const { source, waits, events } = createTestSource(upstream.url);
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  assertEquals(waits, [7000, 7000]);
  assertEquals(events.map(({ type }) => type), ["request", "retry", "request", "retry", "request"]);
});

Deno.test("[16] UpstreamSource retries after a 503", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", status: 503, times: 1 });
  const { source, waits } = createTestSource(upstream.url);
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  assertEquals([waits, upstream.count("manifest")], [[750], 2]);
});

const ERROR_BODY = JSON.stringify({ errors: [{ code: "X", message: "see https://cdn.net/x?sig=SECRET" }] });
const STATUSES: [status: number, code: string, mapped: number, reason: string][] = [
  [401, "DENIED", 404, "the image does not exist, or needs a login"],
  [403, "DENIED", 404, "the image does not exist, or needs a login"],
  [407, "UNAVAILABLE", 503, "the proxy requires a login"],
  [429, "TOOMANYREQUESTS", 429, "limits how often"],
  [500, "UNAVAILABLE", 503, "answers 500"],
  [503, "UNAVAILABLE", 503, "answers 503"],
  [418, "BAD_GATEWAY", 502, "answers 418"],
];
for (const [status, code, mapped, reason] of STATUSES) {
  Deno.test(`[61] UpstreamSource reports a ${status} as ${code}, without secrets`, async () => {
    await using upstream = startFaultUpstream();
    upstream.fail({ status, body: ERROR_BODY });
    const { source } = createTestSource(upstream.url);
    const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError, reason);
    assertEquals([error.code, error.status], [code, mapped]);
    assertStringIncludes(error.message, `Cannot read manifest 1 of ${REPO} from ${upstream.host}`);
    assertStringIncludes(error.message, "(see https://cdn.net/x)");
    assert(!Deno.inspect(error).includes("SECRET"));
  });
}

Deno.test("UpstreamSource limits the size of an error page", async () => {
  await using upstream = startFaultUpstream();
  upstream.fail({ status: 418, body: patternBytes(70_000), contentLength: null, stallAfter: Infinity });
  const { source } = createTestSource(upstream.url);
  await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "answers 418");
});

const AUTH = { type: "bearer", username: "alice", password: "secret-pw" } as const;

Deno.test("UpstreamSource logs in with the credential of its endpoint", async () => {
  await using upstream = startFaultUpstream({ auth: AUTH });
  const image = upstream.addImage(PATH, "1");
  const { source } = createTestSource([{ host: REGISTRY, url: upstream.url, credential: AUTH }]);
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  assertEquals(await source.statBlob(REPO, image.config.digest), image.config.size);
  assertEquals(upstream.requests.map(({ kind, status }) => [kind, status]), [
    ["manifest", 401],
    ["token", 200],
    ["manifest", 200],
    ["blob", 200],
  ]);
});

Deno.test("UpstreamSource looks up the credential of a repository", async () => {
  await using upstream = startFaultUpstream({ auth: { type: "basic", username: "alice", password: "secret-pw" } });
  const image = upstream.addImage(PATH, "1");
  const asked: [string, string, string][] = [];
  const { source } = createTestSource(upstream.url, {
    credentialFor: ({ registryHost, endpoint, path }) => {
      asked.push([registryHost, endpoint.url.host, path]);
      return AUTH;
    },
  });
  assertEquals(await source.resolve(REPO, "1"), image.manifest);
  assertEquals(asked, [[REGISTRY, upstream.host, PATH]]);
});

const LOGINS: [
  name: string,
  auth: Parameters<typeof startFaultUpstream>[0],
  credential: typeof AUTH | undefined,
  reason: string,
][] = [
  ["[14] an endless 401", { auth: { type: "never" } }, undefined, "does not exist, or needs a login"],
  ["[14] an endless 401 with a login", { auth: { type: "never" } }, AUTH, "refuses the login"],
  [
    "a wrong Basic password",
    { auth: { type: "basic", username: "alice", password: "other" } },
    AUTH,
    "refuses the login",
  ],
  ["a wrong token password", { auth: { ...AUTH, password: "other" } }, AUTH, "refuses the user name or the password"],
  ["no password", { auth: AUTH }, undefined, "does not exist, or needs a login"],
];
for (const [name, options, credential, reason] of LOGINS) {
  Deno.test(`[61] UpstreamSource reports the reason for ${name}, without secrets`, async () => {
    await using upstream = startFaultUpstream(options);
    upstream.addImage(PATH, "1");
    const { source, events } = createTestSource([{ host: REGISTRY, url: upstream.url, credential }]);
    const error = await assertRejects(() => source.resolve(REPO, "1"), RegistryError, reason);
    assertEquals([error.code, error.status], ["DENIED", 404]);
    assert(upstream.count("manifest") <= 2);
    assert(!Deno.inspect([error, events], { depth: 9 }).match(/secret-pw|token-\d|c2VjcmV0/));
  });
}

Deno.test("[60] UpstreamSource sends no credential to the storage of a redirect", async () => {
  await using storage = startFaultUpstream();
  const blob = patternBytes(3000);
  const { digest } = storage.addBlob(PATH, blob);
  await using upstream = startFaultUpstream({ auth: { type: "basic", username: "alice", password: "secret-pw" } });
  upstream.addBlob(PATH, blob);
  const { source, events } = createTestSource([{ host: REGISTRY, url: upstream.url, credential: AUTH }]);
  await source.statBlob(REPO, digest);
  upstream.fail({ kind: "blob", redirectTo: `${storage.url}{path}?X-Signature=SECRET` });
  const opened = await source.openBlobWith(REPO, digest, {});
  await opened?.body.cancel();
  assertEquals(storage.requests.map(({ query, headers }) => [query, headers.get("authorization")]), [
    ["?X-Signature=SECRET", null],
  ]);
  assert(upstream.requests.at(-1)?.headers.get("authorization")?.startsWith("Basic "));
  assert(!JSON.stringify(events).includes("SECRET"));
});

Deno.test("[18] UpstreamSource stops following a redirect loop after 10 redirects", async () => {
  await using upstream = startFaultUpstream();
  upstream.fail({ redirectTo: "{path}" });
  const error = await assertRejects(
    () => createTestSource(upstream.url).source.resolve(REPO, "1"),
    RegistryError,
    "more than 10",
  );
  assertEquals([error.code, upstream.count("manifest")], ["BAD_GATEWAY", 11]);
});

Deno.test("UpstreamSource puts the path of an endpoint in front of the repository", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(`proxy/quay.io/${PATH}`, "1");
  for (const path of ["/proxy/quay.io", "/v2/proxy/quay.io/"]) {
    const { source } = createTestSource(upstream.url + path);
    assertEquals(await source.resolve(REPO, "1"), image.manifest);
  }
  assertEquals(upstream.requests.map(({ query }) => query), ["", ""]);
});

Deno.test("UpstreamSource names the registry in ?ns= for a mirror without a path", async () => {
  await using upstream = startFaultUpstream();
  const image = upstream.addImage(PATH, "1");
  const endpointsOf = createSingleEndpointSelector({ url: upstream.url });
  const { source } = createTestSource([], { endpointsOf });
  assertEquals(await source.resolve(`docker.io/${PATH}`, "1"), image.manifest);
  assertEquals(await source.resolve(`quay.io/${PATH}`, "1"), image.manifest);
  assertEquals(upstream.requests.map(({ query }) => query), ["?ns=docker.io", "?ns=quay.io"]);
  const own = createTestSource([{ host: upstream.host }]);
  assertEquals(await own.source.resolve(`${upstream.host}/${PATH}`, "1"), image.manifest);
  assertEquals(upstream.requests.at(-1)?.query, "");
});

for (
  const [name, fault, calls] of [
    ["does not have it", { status: 404 }, 1],
    ["is broken", { status: 503 }, 5],
    ["denies access", { status: 403 }, 1],
    ["returns other content", { body: "{}" }, 1],
  ] satisfies [string, Fault, number][]
) {
  Deno.test(`UpstreamSource tries the next endpoint when one ${name}`, async () => {
    await using first = startFaultUpstream();
    await using second = startFaultUpstream();
    const image = second.addImage(PATH, "1");
    first.addImage(PATH, "1");
    first.fail(fault);
    const { source } = createTestSource([{ host: REGISTRY, url: first.url }, { host: REGISTRY, url: second.url }]);
    assertEquals(await source.resolve(REPO, image.manifest.digest), image.manifest);
    assertEquals([first.count(), second.count()], [calls, 1]);
  });
}

Deno.test("UpstreamSource throws the failure of one endpoint when the others do not have the content", async () => {
  await using first = startFaultUpstream();
  await using second = startFaultUpstream();
  first.fail({ status: 503 });
  const { source } = createTestSource([{ host: REGISTRY, url: first.url }, { host: REGISTRY, url: second.url }]);
  await assertRejects(() => source.resolve(REPO, "1"), RegistryError, "answers 503");
});

Deno.test("UpstreamSource ends pending requests when its signal aborts", async () => {
  await using upstream = startFaultUpstream();
  const { manifest } = upstream.addImage(PATH, "1");
  upstream.fail({ kind: "manifest", stallAfter: 5 });
  const stop = new AbortController();
  const { source } = createTestSource(upstream.url, {
    signal: stop.signal,
    onEvent: () => setTimeout(() => stop.abort(new Error("stopping")), 5),
  });
  await assertRejects(() => source.resolve(REPO, manifest.digest), Error);
});
