import { ApiTokens } from "../../../lib/agent/check_token.ts";
import { readBundle } from "../../../lib/bundle/read_bundle.ts";
import { modelNames } from "../../../lib/delta/models/all.ts";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { cannot, NoSpaceError, UsageError } from "../../../lib/oci/error.ts";
import { type AskOptions, createAgentHandlerFixture, makeBundle, TOKEN } from "../../support/agent_handler_fixture.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { makeBytes } from "../../support/content.ts";
import { buildImage } from "../../support/images.ts";
import { makeTar } from "../../support/tar.ts";
import { idOf } from "../../support/kubepkg.ts";

const IMAGE = buildImage({ files: [{ "a.txt": "a" }, { "b.bin": makeBytes(300_000) }] });
const BUNDLE = await makeBundle(IMAGE);
const NEWER = await makeBundle(buildImage({ files: { "c.txt": "c" } }), { version: "2.0.0" });
const DAMAGED = BUNDLE.slice();
DAMAGED[DAMAGED.length - 100_000]! ^= 1;
const { document: DOCUMENT } = await readBundle(new Blob([BUNDLE]).stream(), { what: "the bundle" });
const NDJSON = { accept: "application/x-ndjson" };
const hash = (algorithm: string, encoding: "hex" | "base64") => createHash(algorithm).update(BUNDLE).digest(encoding);

async function linesOf(response: Response): Promise<Record<string, unknown>[]> {
  return (await response.text()).trim().split("\n").map((line) => JSON.parse(line));
}

Deno.test("the agent answers with its identity and the installed packages", async () => {
  await using site = await createAgentHandlerFixture();
  const head = await site.ask("/kubepkgs", { method: "HEAD" });
  assertEquals([head.status, head.body], [200, null]);
  assertEquals(head.headers.get("x-node-agent"), "node-7; platforms=linux/arm64,linux/amd64");
  assertEquals(await (await site.ask("/kubepkgs")).json(), []);

  assertEquals((await site.ask("/kubepkgs", { method: "PUT", body: BUNDLE })).status, 200);
  const [installed] = await (await site.ask("/kubepkgs/")).json();
  assertEquals([installed.metadata.name, installed.spec.version], ["line4", "1.0.0"]);
  assertEquals(await (await site.ask("/kubepkgs/line4")).json(), installed);
  const { publicKey, ...inventory } = await (await site.ask("/inventory")).json();
  assertEquals(inventory, { digests: [], models: modelNames() });
  assertStringIncludes(publicKey, "BEGIN PUBLIC KEY");
});

const REFUSED: [what: string, path: string, options: AskOptions, status: number, code: string][] = [
  ["[63] PUT without the token", "/kubepkgs", { method: "PUT", body: BUNDLE, token: undefined }, 401, "UNAUTHORIZED"],
  [
    "[63] PUT with another token",
    "/kubepkgs",
    { method: "PUT", body: BUNDLE, token: `${TOKEN}x` },
    401,
    "UNAUTHORIZED",
  ],
  ["[63] PUT with an incomplete token", "/kubepkgs", { method: "PUT", token: TOKEN.slice(1) }, 401, "UNAUTHORIZED"],
  [
    "[63] PUT with the token as Basic",
    "/kubepkgs",
    { method: "PUT", token: undefined, headers: { authorization: `Basic ${TOKEN}` } },
    401,
    "UNAUTHORIZED",
  ],
  ["[63] a plan without the token", "/kubepkgs/plan", { method: "POST", token: undefined }, 401, "UNAUTHORIZED"],
  [
    "[63] a blob without the token",
    `/kubepkgs/blobs/${IMAGE.root.digest}`,
    { method: "PUT", token: undefined },
    401,
    "UNAUTHORIZED",
  ],
  ["[64] PUT from a web page", "/kubepkgs", { method: "PUT", headers: { origin: "http://evil.test" } }, 403, "DENIED"],
  ["[64] GET from a web page", "/kubepkgs", { headers: { origin: "https://agent.test:36061" } }, 403, "DENIED"],
  ["[64] GET from a page without an origin", "/kubepkgs", { headers: { origin: "null" } }, 403, "DENIED"],
  ["[64] GET from a web page of the origin null", "/inventory", { headers: { origin: "null" } }, 403, "DENIED"],
  ["[64] a preflight", "/kubepkgs", { method: "OPTIONS", headers: { origin: "http://evil.test" } }, 403, "DENIED"],
  ["another method", "/kubepkgs", { method: "DELETE" }, 405, "UNSUPPORTED"],
  ["PUT of an inventory", "/inventory", { method: "PUT" }, 405, "UNSUPPORTED"],
  ["PUT of a package by name", "/kubepkgs/line4", { method: "PUT" }, 405, "UNSUPPORTED"],
  ["GET of an unknown package", "/kubepkgs/line5", {}, 404, "NOT_FOUND"],
  ["[52] a package name that is a path", "/kubepkgs/..%2f..%2fetc", {}, 404, "NOT_FOUND"],
  ["an unknown path", "/kubepkgs/a/b", {}, 404, "NOT_FOUND"],
  ["an invalid digest of a blob", "/kubepkgs/blobs/sha256:12", {}, 400, "DIGEST_INVALID"],
  ["a misspelt dry-run", "/kubepkgs?dryRun=true", { method: "PUT", body: BUNDLE }, 400, "INVALID"],
  ["dry-run given twice", "/kubepkgs?dry-run=false&dry-run=true", { method: "PUT", body: BUNDLE }, 400, "INVALID"],
  ["force given twice to a plan", "/kubepkgs/plan?force&force", { method: "POST", body: "{}" }, 400, "INVALID"],
  ["a query parameter that is not Boolean", "/kubepkgs?force=maybe", { method: "PUT", body: BUNDLE }, 400, "INVALID"],
  [
    "a byte range of a bundle",
    "/kubepkgs",
    { method: "PUT", body: BUNDLE, headers: { "content-range": "bytes 5-9/10" } },
    400,
    "INVALID",
  ],
  ["an empty body", "/kubepkgs", { method: "PUT" }, 422, "CORRUPT"],
  ["a body that is not a bundle", "/kubepkgs", { method: "PUT", body: "hello" }, 422, "CORRUPT"],
  ["[43] a damaged bundle", "/kubepkgs", { method: "PUT", body: DAMAGED }, 422, "CORRUPT"],
  ["[48] half a bundle", "/kubepkgs", { method: "PUT", body: BUNDLE.slice(0, 200_000) }, 422, "CORRUPT"],
  [
    "[51] a kubepkg.json of 81 MiB",
    "/kubepkgs",
    {
      method: "PUT",
      body: new Uint8Array(gzipSync(makeTar({ "kubepkg.json": new Uint8Array(81 << 20) }), { level: 1 })),
    },
    413,
    "TOO_LARGE",
  ],
  [
    "a body with another digest than its Content-Digest",
    "/kubepkgs",
    { method: "PUT", body: BUNDLE, headers: { "content-digest": `sha256:${"0".repeat(64)}` } },
    422,
    "CORRUPT",
  ],
  [
    "a Content-Digest of the wrong length",
    "/kubepkgs",
    { method: "PUT", body: BUNDLE, headers: { "content-digest": "sha-256=:AAAA:" } },
    400,
    "DIGEST_INVALID",
  ],
  [
    "a Content-Digest of an unknown algorithm",
    "/kubepkgs",
    { method: "PUT", body: BUNDLE, headers: { "content-digest": "md5=:AAAA:" } },
    400,
    "DIGEST_INVALID",
  ],
  [
    "an invalid Content-Digest",
    "/kubepkgs",
    { method: "PUT", body: BUNDLE, headers: { "content-digest": "sha-256=AAAA" } },
    400,
    "DIGEST_INVALID",
  ],
];

for (const [what, path, options, status, code] of REFUSED) {
  for (const headers of options.body === undefined ? [{}] : [{}, NDJSON]) {
    const how = headers === NDJSON ? ", with NDJSON" : "";
    Deno.test(`${what.startsWith("[") ? what.slice(0, 5) : ""}the agent refuses ${what.replace(/^\[\d+\] /, "")}${how}`, async () => {
      await using site = await createAgentHandlerFixture();
      const response = await site.ask(path, { ...options, headers: { ...headers, ...options.headers } });
      if (response.status === 200) {
        // The failure was detected after the answer had started.
        assertEquals(headers, NDJSON);
        assertEquals((await linesOf(response)).at(-1)?.error, {
          code,
          message: site.reports[0]!.error instanceof Error ? site.reports[0]!.error.message : "",
        });
      } else {
        assertEquals(response.status, status);
        assertEquals(response.headers.get("content-type"), "application/json");
        const { errors: [error] } = await response.json();
        assertEquals(error.code, code);
        assertMatch(error.message, /^Cannot \w+/);
        assert(!JSON.stringify(error).includes(TOKEN));
        if (status === 401) assertMatch(response.headers.get("www-authenticate")!, /^Bearer /);
        if (status === 405) assertMatch(response.headers.get("allow")!, /^GET, HEAD/);
      }
      assertEquals([site.errors, site.leases()], [[], 0]);
      const visible = (await site.listFiles()).filter((name) => /_manifests|kubepkg|manifests\/[^.]/.test(name));
      assertEquals(visible, []);
    });
  }
}

const BROKEN: readonly (readonly [what: string, error: Error])[] = [
  ["have no key any more", new UsageError(cannot("read desk.pub", "it has no public key (PEM)"))],
  ["are gone", new Deno.errors.NotFound("No such file or directory (os error 2): stat 'desk.pub'")],
];
for (const [what, error] of BROKEN) {
  for (const [path, method] of [["/kubepkgs", "PUT"], ["/kubepkgs?dry-run=true", "PUT"], ["/kubepkgs/plan", "POST"]]) {
    Deno.test(`[109] trusted keys that ${what} while the agent runs: ${method} ${path} is a failure of the agent, and is logged`, async () => {
      await using site = await createAgentHandlerFixture({ readTrust: () => Promise.reject(error) });
      const body = path === "/kubepkgs/plan" ? new Uint8Array(DOCUMENT) : BUNDLE;
      for (const headers of [{}, NDJSON]) {
        const response = await site.ask(path!, { method: method!, body, headers });
        const { errors: [{ code, message }] } = await response.json();
        assertEquals([response.status, code, message], [500, "INTERNAL", error.message]);
      }
      assertEquals([site.errors, await site.records.list()], [[error, error], []]);
    });
  }
}

Deno.test("the agent answers web pages of its own origin", async () => {
  await using site = await createAgentHandlerFixture();
  assertEquals((await site.ask("/kubepkgs", { headers: { origin: "http://agent.test:36060" } })).status, 200);
});

for (
  const [what, value] of [
    ["as sha-256", `sha-256=:${hash("sha256", "base64")}:`],
    ["as sha-512", `sha-512=:${hash("sha512", "base64")}:`],
    [
      "as both, and one of an unknown algorithm",
      `sha-256=:${hash("sha256", "base64")}:, crc32c=:AAAA:, sha-512=:${hash("sha512", "base64")}:`,
    ],
    ["as an OCI digest", `sha256:${hash("sha256", "hex")}`],
  ] as const
) {
  Deno.test(`PUT /kubepkgs verifies a Content-Digest ${what}`, async () => {
    await using site = await createAgentHandlerFixture();
    const put = (digest: string) =>
      site.ask("/kubepkgs", { method: "PUT", body: BUNDLE, headers: { "content-digest": digest } });
    assertEquals((await put(value)).status, 200);
    // It is verified even if the release is already installed.
    assertEquals([(await put(value)).status, (await put(`sha256:${"0".repeat(64)}`)).status], [200, 422]);
  });
}

Deno.test("PUT /kubepkgs includes bytes after the tar in the Content-Digest", async () => {
  await using site = await createAgentHandlerFixture();
  // gzip allows trailing zero bytes.
  const body = Buffer.concat([BUNDLE, new Uint8Array(5000)]);
  const put = (digest: string) =>
    site.ask("/kubepkgs", { method: "PUT", body: new Uint8Array(body), headers: { "content-digest": digest } });
  assertEquals((await put(`sha256:${hash("sha256", "hex")}`)).status, 422);
  assertEquals(await site.records.list(), []);
  assertEquals((await put(`sha256:${createHash("sha256").update(body).digest("hex")}`)).status, 200);
});

Deno.test("PUT /kubepkgs answers with the result, as one document or as lines", async () => {
  await using site = await createAgentHandlerFixture();
  const planned = await (await site.ask("/kubepkgs?dry-run=true", { method: "PUT", body: BUNDLE })).json();
  assertEquals([planned.verdict, planned.dryRun, planned.imported], ["install", true, false]);
  assertEquals((await site.listFiles()).filter((name) => name.startsWith("data/docker")), []);

  const response = await site.ask("/kubepkgs", { method: "PUT", body: BUNDLE, headers: NDJSON });
  assertEquals(response.headers.get("content-type"), "application/x-ndjson");
  const lines = await linesOf(response);
  const { blobs, imported, handover, ...result } = lines.at(-1)! as Record<string, unknown>;
  assertEquals([result.verdict, imported, handover], ["install", true, `${site.folder.path}/manifests/line4.yaml`]);
  assertEquals((blobs as { written: number }).written, 4);
  assert(lines.length > 1);
  assertEquals(Object.keys(lines[0]!), ["bytes", "total", "entry"]);

  const again = await (await site.ask("/kubepkgs", { method: "PUT", body: BUNDLE })).json();
  assertEquals([again.verdict, again.imported], ["same", false]);
  assertEquals(site.reports.map(({ outcome }) => outcome), ["imported", "same"]);
  assertEquals(site.reports[0]!.received, BUNDLE.length);
});

Deno.test("PUT /kubepkgs refuses a downgrade with 409 unless forced", async () => {
  await using site = await createAgentHandlerFixture();
  const put = (path: string, body: Uint8Array<ArrayBuffer>, headers = {}) =>
    site.ask(path, { method: "PUT", body, headers });
  assertEquals((await put("/kubepkgs", NEWER)).status, 200);
  for (const headers of [{}, NDJSON]) {
    const refused = await put("/kubepkgs", BUNDLE, headers);
    assertEquals(refused.status, 409);
    assertStringIncludes((await refused.json()).errors[0].message, "2.0.0 is installed, which is higher");
  }
  assertEquals((await put("/kubepkgs?force=true", BUNDLE)).status, 200);
  assertEquals((await site.records.read(idOf("line4")))?.spec.version, "1.0.0");
  assertEquals(site.reports.map(({ outcome }) => outcome), ["imported", "refused", "refused", "imported"]);
});

Deno.test("[38] PUT /kubepkgs of two concurrent versions of a package installs the higher one completely", async () => {
  for (let round = 0; round < 6; round++) {
    await using site = await createAgentHandlerFixture();
    const put = (body: Uint8Array<ArrayBuffer>) => site.ask("/kubepkgs", { method: "PUT", body });
    const bundles = round % 2 === 0 ? [BUNDLE, NEWER] : [NEWER, BUNDLE];
    const statuses = await Promise.all(bundles.map(async (bundle) => [bundle, (await put(bundle)).status] as const));
    for (const [bundle, status] of statuses) {
      assert(status === 200 || (bundle === BUNDLE && status === 409), `${status}`);
    }
    assertEquals((await site.records.read(idOf("line4")))?.spec.version, "2.0.0");
    const tag = await site.store.resolve("registry.test/app", "1");
    assertEquals(tag?.digest, Object.values((await site.records.read(idOf("line4")))!.spec.images)[0]);
    assertStringIncludes(await Deno.readTextFile(`${site.folder.path}/manifests/line4.yaml`), 'line: "2.0.0"');
  }
});

Deno.test("[32] PUT /kubepkgs answers 507 with the missing bytes, and when the disk becomes full", async () => {
  await using site = await createAgentHandlerFixture({ freeBytes: () => Promise.resolve(1000) });
  for (const headers of [{}, NDJSON]) {
    const response = await site.ask("/kubepkgs", { method: "PUT", body: BUNDLE, headers });
    assertEquals(response.status, 507);
    assertMatch((await response.json()).errors[0].message, /it needs \S+ KiB, 1000 B are free, \S+ KiB are missing/);
  }
  await using full = await createAgentHandlerFixture();
  full.store.openIngest = () => Promise.reject(new NoSpaceError("Cannot write: no space left on the device"));
  const response = await full.ask("/kubepkgs", { method: "PUT", body: BUNDLE });
  assertEquals([response.status, full.reports[0]?.outcome], [507, "no-space"]);
  assertEquals((await full.store.listRepositories()).repositories, []);
});

Deno.test("PUT /kubepkgs answers 413 to a body over the limit, with and without Content-Length", async () => {
  await using site = await createAgentHandlerFixture({ maxBundle: 100_000 });
  const declared = await site.ask("/kubepkgs", {
    method: "PUT",
    body: BUNDLE,
    headers: { "content-length": `${BUNDLE.length}` },
  });
  const streamed = await site.ask("/kubepkgs", { method: "PUT", body: new Blob([BUNDLE]).stream() });
  assertEquals([declared.status, streamed.status], [413, 413]);
  assertEquals(site.reports.at(-1)?.outcome, "too-large");
  assertEquals(await site.records.list(), []);
});

Deno.test("[26] PUT /kubepkgs keeps partial files when the client disconnects or stalls, and nothing is visible", async () => {
  await using site = await createAgentHandlerFixture({ stallTimeout: 50 });
  const half = BUNDLE.slice(0, BUNDLE.length - 50_000);
  const cut = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(half),
    pull: (controller) => controller.error(new Error("the cable was pulled")),
  }, { highWaterMark: 0 });
  const silent = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(half) });
  for (const body of [cut, silent]) {
    const response = await site.ask("/kubepkgs", { method: "PUT", body });
    assertEquals([response.status, site.reports.at(-1)?.outcome], [400, "cut"]);
    assertEquals([await site.records.list(), (await site.store.listRepositories()).repositories], [[], []]);
  }
  assert((await site.listFiles()).some((name) => name.endsWith(".partial")));
  assertEquals(site.leases(), 0);
  assertEquals((await site.ask("/kubepkgs", { method: "PUT", body: BUNDLE })).status, 200);
});

Deno.test("PUT /kubepkgs answers 503 if the data folder is not writable", async () => {
  await using site = await createAgentHandlerFixture({ tokens: new ApiTokens(undefined) });
  assertEquals((await site.ask("/kubepkgs", { method: "PUT", body: BUNDLE })).status, 503);
  assertEquals((await site.ask("/kubepkgs")).status, 200);
});
