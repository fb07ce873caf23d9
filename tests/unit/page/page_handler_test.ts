import { ApiTokens } from "../../../lib/agent/check_token.ts";
import { ASSET_FILES } from "../../../lib/page/asset_files.ts";
import { PageAssets } from "../../../lib/page/page_assets.ts";
import type { PageSource } from "../../../lib/page/page_options.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  AT_HOME,
  AT_SITE,
  AUTH,
  createPageFixture,
  LOCAL,
  type PageRow,
  REMOTE,
  testRows,
  TOKEN,
} from "../../support/page_fixture.ts";

const ROWS: readonly PageRow[] = [
  { name: "reading is open on the machine itself", path: "/api/status", status: 200 },
  { name: "reading needs the token from elsewhere", path: "/api/status", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "reading with the token", path: "/api/status", at: AT_SITE, from: REMOTE, headers: AUTH, status: 200 },
  {
    name: "a wrong token, also where none is needed",
    path: "/api/status",
    headers: { authorization: "Bearer other" },
    status: 401,
  },
  {
    name: "a client behind a proxy is not local",
    path: "/api/status",
    headers: { "x-forwarded-for": "8.8.8.8" },
    status: 401,
  },
  { name: "a local client that uses another address is not local", path: "/api/status", at: AT_SITE, status: 401 },
  { name: "a registry with logins has no open page", path: "/api/status", options: { isPrivate: true }, status: 401 },
  { name: "who may do what is open to all", path: "/api/access", at: AT_SITE, from: REMOTE, status: 200 },
  { name: "a foreign Host (DNS rebinding)", path: "/api/status", at: "http://evil.test:36060", status: 403 },
  { name: "a foreign Host gets no page either", path: "/", at: "http://evil.test:36060", status: 403 },
  { name: "a foreign Origin", path: "/api/status", headers: { origin: "http://evil.test" }, status: 403 },
  { name: "the own Origin", path: "/api/status", headers: { origin: AT_HOME }, status: 200 },
  {
    name: "the own Origin before a proxy with TLS",
    path: "/api/status",
    headers: { origin: AT_HOME.replace("http:", "https:") },
    status: 200,
  },
  {
    name: "the own Origin of https, with the port left out",
    path: "/api/status",
    at: "http://localhost:443",
    headers: { origin: "https://localhost" },
    status: 200,
  },
  {
    name: "an unencrypted Origin of the same name",
    path: "/api/status",
    at: AT_HOME.replace("http:", "https:"),
    headers: { origin: AT_HOME },
    status: 403,
  },
  { name: "an Origin with another port", path: "/api/status", headers: { origin: "https://127.0.0.1" }, status: 403 },
  { name: "the Origin null", path: "/api/status", headers: { origin: "null" }, status: 403 },
  {
    name: "an image of another site",
    path: "/api/doctor",
    headers: { "sec-fetch-site": "cross-site" },
    status: 403,
  },
  {
    name: "a link of another site opens the page",
    path: "/",
    headers: { "sec-fetch-site": "cross-site" },
    status: 200,
  },
  {
    name: "a change needs the token, also on the machine itself",
    path: "/api/packages/line4",
    method: "DELETE",
    status: 401,
  },
  { name: "a change with the token", path: "/api/packages/line4", method: "DELETE", headers: AUTH, status: 200 },
  { name: "the status of a package", path: "/api/packages/line4/status", headers: AUTH, status: 200 },
  { name: "the status from elsewhere", path: "/api/packages/line4/status", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "the status with POST", path: "/api/packages/line4/status", method: "POST", headers: AUTH, status: 405 },
  {
    name: "a misspelt dry-run",
    path: "/api/packages/line4?dryRun=true",
    method: "DELETE",
    headers: AUTH,
    status: 400,
  },
  {
    name: "a removal to a version",
    path: "/api/packages/line4?to=1.0.0",
    method: "DELETE",
    headers: AUTH,
    status: 400,
  },
  { name: "a rollback", path: "/api/packages/line4/rollback?to=1.0.0", method: "POST", headers: AUTH, status: 200 },
  { name: "a new code needs the token", path: "/api/codes", method: "POST", status: 401 },
  { name: "a new code", path: "/api/codes", method: "POST", headers: AUTH, status: 201 },
  {
    name: "a read-only folder has no token",
    path: "/api/codes",
    method: "POST",
    headers: AUTH,
    options: { tokens: new ApiTokens(undefined) },
    status: 503,
  },
  { name: "a session without a code", path: "/api/session", method: "POST", body: "{}", status: 400 },
  { name: "a session with an unknown code", path: "/api/session", method: "POST", body: '{"code":"abc"}', status: 401 },
  { name: "a session with no JSON", path: "/api/session", method: "POST", body: "<", status: 422 },
  { name: "a session with a large body", path: "/api/session", method: "POST", body: " ".repeat(5000), status: 413 },
  { name: "an unknown path", path: "/api/nothing", status: 404 },
  { name: "a path that is too long", path: "/api/packages/a/rollback/b", method: "POST", headers: AUTH, status: 404 },
  { name: "a name that is not UTF-8", path: "/api/packages/%ff", method: "DELETE", headers: AUTH, status: 400 },
  { name: "a wrong method", path: "/api/status", method: "PUT", status: 405 },
  { name: "a wrong method for a file", path: "/", method: "PUT", status: 405 },
  { name: "an unknown file", path: "/page/0123456789abcdef/main.js", status: 404 },
  { name: "a file outside of the folder", path: "/page/../deno.json", status: 404 },
  { name: "a failure", path: "/api/doctor", status: 500 },
  { name: "a HEAD request", path: "/api/status", method: "HEAD", status: 200 },
];

testRows(ROWS);

Deno.test("page: a change has the name, the namespace and the version of the request", async () => {
  await using fixture = await createPageFixture();
  const send = async (method: string, path: string) =>
    await (await fixture.handler(new Request(`${AT_HOME}${path}`, { method, headers: AUTH }), LOCAL)).body?.cancel();
  await send("POST", "/api/packages/web%2Fx/rollback?namespace=shop&to=1.0.0");
  await send("DELETE", "/api/packages/web?dry-run");
  assertEquals(fixture.calls, [
    ["rollback", { name: "web/x", namespace: "shop", to: "1.0.0", dryRun: false }],
    ["remove", { name: "web", namespace: undefined, to: undefined, dryRun: true }],
  ]);
});

Deno.test("page: a server that does not install refuses changes", async () => {
  await using other = await createPageFixture({ source: {} as PageSource });
  const request = new Request(`${AT_HOME}/api/packages/web`, { method: "DELETE", headers: AUTH });
  const response = await other.handler(request, LOCAL);
  assertEquals([response.status, (await response.json()).errors[0].code], [405, "UNSUPPORTED"]);
});

Deno.test("page: errors of the source keep their status", async () => {
  const source = { readStatus: () => Promise.reject(new RegistryError("NOT_FOUND", "Cannot find it")) };
  await using fixture = await createPageFixture({ source: source as unknown as PageSource });
  const response = await fixture.handler(new Request(`${AT_HOME}/api/status`), LOCAL);
  assertEquals([response.status, (await response.json()).errors[0].message], [404, "Cannot find it"]);
});

Deno.test("page: a code is exchanged for the token once", async () => {
  await using fixture = await createPageFixture();
  const { code } = await fixture.codes.create();
  const redeem = () =>
    fixture.handler(
      new Request(`${AT_SITE}/api/session`, { method: "POST", body: JSON.stringify({ code }) }),
      REMOTE,
    );
  const responses = await Promise.all([redeem(), redeem(), redeem()]);
  assertEquals(responses.map(({ status }) => status).sort(), [200, 401, 401]);
  const good = responses.find(({ status }) => status === 200)!;
  assertEquals(await good.json(), { token: TOKEN });
  assertEquals(good.headers.get("cache-control"), "no-store, no-transform");
  for (const response of responses) await response.body?.cancel().catch(() => {});
});

Deno.test("page: the files have a strict policy, a type, and are kept by browsers by their hash", async () => {
  await using fixture = await createPageFixture();
  const get = (path: string, headers = {}) => fixture.handler(new Request(`${AT_HOME}${path}`, { headers }), LOCAL);
  const index = await get("/");
  const html = await index.text();
  assertEquals(index.headers.get("content-type"), "text/html; charset=utf-8");
  assertEquals(index.headers.get("cache-control"), "no-cache");
  const csp = index.headers.get("content-security-policy")!;
  assert(csp.startsWith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"), csp);
  assert(!/unsafe/.test(csp), csp);
  assertEquals(
    ["x-content-type-options", "referrer-policy"].map((name) => index.headers.get(name)),
    ["nosniff", "no-referrer"],
  );
  assertEquals((await get("/", { "if-none-match": index.headers.get("etag")! })).status, 304);
  const paths = [...html.matchAll(/(?:href|src)="(\/page\/[^"]+)"/g)].map(([, path]) => path!);
  assertEquals(paths.map((path) => path.split("/").at(-1)), ["style.css", "main.js"]);
  // Every module that a module imports is served.
  const seen = new Set<string>();
  const visit = async (path: string) => {
    if (seen.has(path)) return;
    seen.add(path);
    const response = await get(path);
    assertEquals([response.status, path.split("/").length], [200, 4], path);
    assertEquals(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
    const text = await response.text();
    assert(
      !/https?:\/\/(?!www\.w3\.org)/.test(text.replace(/\/\/.*|\/\*[^]*?\*\//g, "")),
      `${path} names another host`,
    );
    for (const [, name] of text.matchAll(/from "(\.\/[^"]+)"/g)) {
      await visit(new URL(name!, `http://x${path}`).pathname);
    }
  };
  for (const path of paths) await visit(path);
  const names = [...seen].map((path) => path.split("/").at(-1)!).sort();
  assertEquals(names, Object.keys(ASSET_FILES).filter((name) => name !== "index.html").sort());
});

Deno.test("page: the files are read at the first request, once; a failure is not remembered", async () => {
  let reads = 0;
  const assets = new PageAssets({ "index.html": new URL("file:///index.html") }, () => {
    reads++;
    return reads === 1 ? Promise.reject(new Error("too many open files")) : Promise.resolve(new Uint8Array());
  });
  assertEquals(reads, 0);
  const outcomes: (number | string)[] = [];
  for (let i = 0; i < 3; i++) {
    outcomes.push(await assets.answer("/", new Headers()).then(({ status }) => status, ({ message }) => message));
  }
  assertEquals([outcomes, reads], [["too many open files", 200, 200], 2]);
});
