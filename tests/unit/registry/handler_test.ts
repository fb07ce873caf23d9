import { computeDigest, type Digest } from "../../../lib/oci/digest.ts";
import { CorruptError, type ErrorCode, RegistryError } from "../../../lib/oci/error.ts";
import { type AnswerInfo, createRegistryHandler, type RegistryHandlerOptions } from "../../../lib/registry/handler.ts";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "../../support/assert.ts";
import { UNKNOWN_DIGEST } from "../../support/content.ts";
import type { MemoryStore } from "../../support/memory_store.ts";
import {
  arm,
  artifact,
  blob,
  type ErrorBody,
  image,
  index,
  layerDigest,
  makeStore,
  manifest,
  noBody,
  REPO,
  signature,
  testAnswers,
} from "../../support/registry_fixture.ts";

testAnswers([
  {
    what: "the ping",
    path: "/v2/",
    status: 200,
    has: {
      "docker-distribution-api-version": "registry/2.0",
      "content-type": "application/json",
      "content-length": "2",
    },
    body: {},
  },
  {
    what: "the ping without a trailing slash, without a redirect",
    path: "/v2",
    status: 200,
    has: { "docker-distribution-api-version": "registry/2.0" },
  },
  {
    what: "the ping with HEAD",
    path: "/v2/",
    method: "HEAD",
    status: 200,
    has: { "content-length": "2" },
    body: noBody,
  },
  { what: "the ping of a mirror", path: "/mirrors/quay.io/v2/", status: 200 },
  { what: "the ping with a namespace", path: "/v2/?ns=quay.io", status: 200, has: { "oci-namespace": "quay.io" } },
  { what: "the health check", path: "/healthz", status: 200, body: { status: "ok" } },
  { what: "404 for an unknown path below /v2/", path: "/v2/app/other", status: 404, code: "NOT_FOUND" },
  { what: "404 for / without a greeting", path: "/", status: 404, code: "NOT_FOUND" },
  { what: "404 for an unknown path", path: "/favicon.ico", status: 404, code: "NOT_FOUND" },
]);

const writes: [string, string][] = [
  ["PUT", "/v2/app/manifests/1.0"],
  ["DELETE", `/v2/app/manifests/${UNKNOWN_DIGEST}`],
  ["POST", "/v2/app/blobs/uploads/"],
  ["POST", `/v2/app/blobs/uploads/?mount=${UNKNOWN_DIGEST}&from=x`],
  ["PATCH", "/v2/app/blobs/uploads/123"],
  ["PUT", `/v2/app/blobs/uploads/123?digest=${UNKNOWN_DIGEST}`],
  ["DELETE", "/v2/app/blobs/uploads/123"],
  ["DELETE", `/v2/app/blobs/${UNKNOWN_DIGEST}`],
  ["PUT", "/v2/NOT A NAME/manifests/x"],
  ["POST", "/v2/"],
  ["POST", "/v2/other"],
  ["OPTIONS", "/v2/app/manifests/1.0"],
  ["PUT", "/mirrors/quay.io/v2/team/app/manifests/1.0"],
];
for (const [method, path] of writes) {
  Deno.test(`createRegistryHandler() answers 405 to ${method} ${path.slice(0, 40)}`, async () => {
    const store = await makeStore();
    const response = await createRegistryHandler(store)(new Request(`http://crpe${path}`, { method }));
    assertEquals(response.status, 405);
    assertEquals(response.headers.get("allow"), "GET, HEAD");
    assertEquals((await response.json() as ErrorBody).errors.map(({ code }) => code), ["UNSUPPORTED"]);
    assertEquals(store.asked, []);
  });
}

Deno.test("createRegistryHandler() answers HEAD with the headers of GET", async () => {
  const handler = createRegistryHandler(await makeStore());
  const paths = ["/v2/", "/v2/_catalog", "/v2/app/tags/list", "/v2/app/manifests/1.0", blob, "/healthz", "/v2/none"];
  for (const path of [...paths, "/v2/app/manifests/2.0", `/v2/app/referrers/${image.root.digest}`]) {
    const get = await handler(new Request(`http://crpe${path}`));
    const head = await handler(new Request(`http://crpe${path}`, { method: "HEAD" }));
    assertEquals([head.status, ...head.headers], [get.status, ...get.headers], path);
    assertEquals(Number(get.headers.get("content-length")), (await get.arrayBuffer()).byteLength, path);
    assertEquals(head.body, null, path);
  }
});

Deno.test("createRegistryHandler() lists all referrers", async () => {
  const handler = createRegistryHandler(await makeStore());
  const response = await handler(new Request(`http://crpe/v2/app/referrers/${image.root.digest}`));
  const { manifests } = await response.json() as { manifests: { digest: Digest }[] };
  assertEquals(manifests.map(({ digest }) => digest).sort(), [artifact.root.digest, signature.root.digest].sort());
});

Deno.test("createRegistryHandler() serves the manifest that the tag was resolved to when the tag moves [6]", async () => {
  const store = await makeStore();
  const resolve = store.resolve.bind(store);
  store.resolve = async (repo, reference) => {
    const descriptor = await resolve(repo, reference);
    await store.tag(REPO, "1.0", arm.root.digest);
    return descriptor;
  };
  const response = await createRegistryHandler(store)(new Request("http://crpe/v2/app/manifests/1.0"));
  assertEquals(response.headers.get("docker-content-digest"), index.root.digest);
  assertEquals(new Uint8Array(await response.arrayBuffer()), manifest.bytes);
});

Deno.test("createRegistryHandler() answers 404 when a manifest is removed during the request", async () => {
  const store = await makeStore();
  store.readManifest = () => Promise.resolve(undefined);
  const response = await createRegistryHandler(store)(new Request("http://crpe/v2/app/manifests/1.0"));
  assertEquals([response.status, (await response.json() as ErrorBody).errors[0]?.code], [404, "MANIFEST_UNKNOWN"]);
});

for (const mediaType of ["a\r\nSet-Cookie: x", "", "text", 'text/html"', "tëxt/x"]) {
  Deno.test(`createRegistryHandler() does not send the invalid media type ${JSON.stringify(mediaType)}`, async () => {
    const store = await makeStore();
    store.resolve = () => Promise.resolve({ ...index.root, mediaType });
    const response = await createRegistryHandler(store)(new Request("http://crpe/v2/app/manifests/1.0"));
    assertEquals([response.status, response.headers.get("content-type")], [200, "application/octet-stream"]);
  });
}

Deno.test("createRegistryHandler() removes the parameters of a media type", async () => {
  const store = await makeStore();
  store.resolve = () => Promise.resolve({ ...index.root, mediaType: "application/x+json; charset=utf-8" });
  const response = await createRegistryHandler(store)(new Request("http://crpe/v2/app/manifests/1.0"));
  assertEquals(response.headers.get("content-type"), "application/x+json");
});

const paths = ["/v2/app/manifests/1.0", blob, "/v2/app/tags/list", "/v2/_catalog", `/v2/app/referrers/${layerDigest}`];
for (const path of paths) {
  for (const method of ["GET", "HEAD"]) {
    Deno.test(`createRegistryHandler() hides an unexpected error of ${method} ${path.slice(0, 24)}`, async () => {
      const store = await makeStore();
      const errors: unknown[] = [];
      const handler = createRegistryHandler(store, { onError: (error) => errors.push(error) });
      for (const failure of [new Error("a secret"), new CorruptError("a secret"), "a secret"]) {
        store.failure = failure;
        const response = await handler(new Request(`http://crpe${path}`, { method }));
        const text = await response.text();
        assertEquals(response.status, 500);
        assertEquals(text.includes("secret"), false);
        if (method === "GET") assertStringIncludes(text, '"code":"INTERNAL"');
        assert(errors.pop() === failure);
      }
      store.failure = new RegistryError("UNAVAILABLE", "Cannot reach quay.io: no network");
      const response = await handler(new Request(`http://crpe${path}`, { method }));
      assertEquals([response.status, errors.length], [503, 0]);
      if (method === "GET") assertStringIncludes(await response.text(), "no network");
    });
  }
}

Deno.test("[96] createRegistryHandler() answers a health check that found a problem with 200 and the reason", async () => {
  const checkHealth = () => Promise.resolve("/data is not writable");
  const response = await createRegistryHandler(await makeStore(), { checkHealth })(new Request("http://crpe/healthz"));
  assertEquals([response.status, await response.json()], [200, {
    status: "degraded",
    reason: "/data is not writable",
  }]);
});

Deno.test("createRegistryHandler() answers a failed health check with 503 and the reason", async () => {
  const checkHealth = () => Promise.reject(new Error("the disk is gone"));
  const response = await createRegistryHandler(await makeStore(), { checkHealth })(new Request("http://crpe/healthz"));
  assertEquals(response.status, 503);
  assertStringIncludes(await response.text(), "Cannot serve: the disk is gone");
});

Deno.test("/ says what the server is: GET and HEAD, whatever the client accepts", async () => {
  const handler = createRegistryHandler(await makeStore(), { greeting: "crpe registry 1.0.0\n" });
  for (const [method, body] of [["GET", "crpe registry 1.0.0\n"], ["HEAD", ""]] as const) {
    for (const accept of ["*/*", "application/json"]) {
      const answer = await handler(new Request("http://crpe/", { method, headers: { accept } }));
      const { status, headers } = answer;
      assertEquals([status, headers.get("content-type"), headers.get("content-length"), await answer.text()], [
        200,
        "text/plain; charset=utf-8",
        "20",
        body,
      ]);
    }
  }
  assertEquals((await handler(new Request("http://crpe/", { method: "POST" }))).status, 405);
});

Deno.test("createRegistryHandler() calls onAnswer for each response", async () => {
  const seen: AnswerInfo[] = [];
  const options: RegistryHandlerOptions = { onAnswer: (info) => seen.push(info) };
  const handler = createRegistryHandler(await makeStore(), options);
  const ask = async (path: string, init?: RequestInit) => {
    await (await handler(new Request(`http://crpe${path}`, init))).arrayBuffer();
    return seen.pop();
  };
  const { length } = manifest.bytes;
  assertEquals(await ask("/v2/app/manifests/1.0"), {
    method: "GET",
    kind: "manifest",
    repo: REPO,
    status: 200,
    length,
    outcome: "hit",
    digest: computeDigest(manifest.bytes),
  });
  assertEquals(await ask(blob, { method: "HEAD" }), {
    method: "HEAD",
    kind: "blob",
    repo: REPO,
    status: 200,
    length: 0,
    outcome: undefined,
    digest: undefined,
  });
  assertEquals(await ask(blob, { headers: { range: "bytes=0-9" } }), {
    method: "GET",
    kind: "blob",
    repo: REPO,
    status: 206,
    length: undefined,
    outcome: "hit",
    digest: undefined,
  });
  assertEquals((await ask("/v2/"))?.kind, "ping");
  assertEquals((await ask("/?x=1"))?.kind, "root");
  const failed = await ask("/v2/none/manifests/1.0");
  assertEquals([failed?.kind, failed?.repo, failed?.status], ["manifest", "docker.io/library/none", 404]);
  const refused = await ask("/v2/app/manifests/1.0", { method: "PUT" });
  assertEquals([refused?.method, refused?.kind, refused?.repo, refused?.status], ["PUT", undefined, undefined, 405]);
  assertEquals((await ask("/other"))?.kind, undefined);
});

const endings: [what: string, end: (response: Response, store: MemoryStore) => Promise<unknown>][] = [
  ["is read completely", (response) => response.arrayBuffer()],
  ["is cancelled by the client", async (response) => {
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
  }],
  ["fails", (response, store) => {
    store.failAt = { position: 2000, error: new Error("cut") };
    return assertRejects(() => response.arrayBuffer(), Error, "cut");
  }],
];
for (const [what, end] of endings) {
  Deno.test(`createRegistryHandler() describes a blob to onAnswer, and closes it when its body ${what}`, async () => {
    const store = await makeStore();
    store.chunkSize = 1000;
    const seen: [AnswerInfo, string | undefined][] = [];
    const handler = createRegistryHandler<string>(store, { onAnswer: (...args) => seen.push(args) });
    const response = await handler(new Request(`http://crpe${blob}`), "its context");
    const info = { method: "GET", kind: "blob", repo: REPO, status: 200, outcome: "hit" } as const;
    assertEquals(seen, [[{ ...info, length: undefined, digest: undefined }, "its context"]]);
    await end(response, store);
    assertEquals(store.openBodies, 0);
  });
}

const failures: [ErrorCode, isUpstreams: boolean][] = [
  ["BAD_GATEWAY", true],
  ["DENIED", true],
  ["TOOMANYREQUESTS", true],
  ["UNAVAILABLE", true],
  ["MANIFEST_UNKNOWN", false],
  ["RANGE_INVALID", false],
];
for (const [code, isUpstreams] of failures) {
  Deno.test(`createRegistryHandler() ${isUpstreams ? "calls" : "does not call"} onUpstreamError for ${code}`, async () => {
    const store = await makeStore();
    const failure = store.failure = new RegistryError(code, "Cannot read it from quay.io: a reason");
    const reported: unknown[] = [];
    const handler = createRegistryHandler(store, { onUpstreamError: (...args) => reported.push(args) });
    const request = new Request("http://crpe/v2/app/manifests/1.0");
    await (await handler(request)).body?.cancel();
    assertEquals(reported, isUpstreams ? [[failure, request]] : []);
  });
}
