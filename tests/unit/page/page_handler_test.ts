import { createPageHandler } from "../../../lib/page/page_handler.ts";
import { ASSET_FILES } from "../../../lib/page/asset_files.ts";
import { PageAssets } from "../../../lib/page/page_assets.ts";
import type { PageOptions, PageSource } from "../../../lib/page/page_options.ts";
import { PairingCodes } from "../../../lib/page/pairing_codes.ts";
import type { Digest } from "../../../lib/oci/digest.ts";
import { RegistryError } from "../../../lib/oci/error.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { TestFolder } from "../../support/test_folder.ts";

const TOKEN = "a-token-of-a-test";
const LOCAL = { remoteAddress: "127.0.0.1", localAddress: "127.0.0.1" };
const REMOTE = { remoteAddress: "192.168.1.7", localAddress: "192.168.1.20" };
const AT_HOME = "http://127.0.0.1:36060";
const AT_SITE = "http://192.168.1.20:36060";

const CONTENT = "0123456789";
const BUNDLE: Digest = `sha256:${"a".repeat(64)}`;
const OTHER: Digest = `sha256:${"b".repeat(64)}`;

function countEnd(onEnd: () => void): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  return new TransformStream({ flush: onEnd });
}

async function createFixture(options: Partial<PageOptions> = {}) {
  const folder = await TestFolder.create();
  const calls: unknown[] = [];
  const errors: unknown[] = [];
  const source: PageSource = {
    readStatus: () => Promise.resolve({ node: "<img src=x onerror=alert(1)>" }),
    listImages: () => Promise.resolve({ images: [] }),
    listPackages: () => Promise.resolve({ packages: [] }),
    outbox: {
      list: () => Promise.resolve({ bundles: [] }),
      open: (digest) =>
        Promise.resolve(
          digest !== BUNDLE ? undefined : {
            name: "line4@1.0.0.tgz",
            size: CONTENT.length,
            stream: (start, length) => {
              const part = CONTENT.slice(start, start + length);
              return Promise.resolve(new Blob([part]).stream().pipeThrough(countEnd(() => calls.push("closed"))));
            },
            close: () => calls.push("closed"),
          },
        ),
      remove: (digest) => Promise.resolve(digest === BUNDLE),
    },
    examine: () => Promise.reject(new Error("the disk is gone")),
    actions: {
      rollBack: (change) => Promise.resolve(calls.push(["rollback", change])),
      remove: (change) => Promise.resolve(calls.push(["remove", change])),
    },
  };
  const codes = new PairingCodes(folder.path);
  const handler = createPageHandler({
    source,
    token: TOKEN,
    codes,
    isPrivate: false,
    isOwnHost: (host) => ["127.0.0.1", "192.168.1.20", "localhost"].includes(host),
    describeError: (error) => (error as Error).message,
    onError: (error) => errors.push(error),
    ...options,
  }, new PageAssets(ASSET_FILES));
  return { folder, codes, calls, errors, handler, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

interface Row {
  readonly name: string;
  readonly path: string;
  readonly at?: string;
  readonly from?: typeof LOCAL;
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
  readonly options?: Partial<PageOptions>;
  readonly status: number;
}

const auth = { authorization: `Bearer ${TOKEN}` };
const ROWS: readonly Row[] = [
  { name: "reading is open on the machine itself", path: "/api/status", status: 200 },
  { name: "reading needs the token from elsewhere", path: "/api/status", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "reading with the token", path: "/api/status", at: AT_SITE, from: REMOTE, headers: auth, status: 200 },
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
  { name: "a change with the token", path: "/api/packages/line4", method: "DELETE", headers: auth, status: 200 },
  { name: "a rollback", path: "/api/packages/line4/rollback?to=1.0.0", method: "POST", headers: auth, status: 200 },
  { name: "a new code needs the token", path: "/api/codes", method: "POST", status: 401 },
  { name: "a new code", path: "/api/codes", method: "POST", headers: auth, status: 201 },
  {
    name: "a read-only folder has no token",
    path: "/api/codes",
    method: "POST",
    headers: auth,
    options: { token: undefined },
    status: 503,
  },
  { name: "the outbox", path: "/api/outbox", status: 200 },
  { name: "the outbox from elsewhere", path: "/api/outbox", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "a bundle", path: `/api/outbox/${BUNDLE}`, status: 200 },
  { name: "a bundle from elsewhere", path: `/api/outbox/${BUNDLE}`, at: AT_SITE, from: REMOTE, status: 401 },
  { name: "an unknown bundle", path: `/api/outbox/${OTHER}`, status: 404 },
  { name: "a bundle with no digest", path: "/api/outbox/line4", status: 404 },
  { name: "a wrong method for a bundle", path: `/api/outbox/${BUNDLE}`, method: "PUT", status: 405 },
  { name: "a link needs the token", path: `/api/outbox/${BUNDLE}/link`, method: "POST", status: 401 },
  { name: "a link", path: `/api/outbox/${BUNDLE}/link`, method: "POST", headers: auth, status: 201 },
  { name: "a removal of a bundle needs the token", path: `/api/outbox/${BUNDLE}`, method: "DELETE", status: 401 },
  { name: "a removal of a bundle", path: `/api/outbox/${BUNDLE}`, method: "DELETE", headers: auth, status: 200 },
  {
    name: "a removal of an unknown bundle",
    path: `/api/outbox/${OTHER}`,
    method: "DELETE",
    headers: auth,
    status: 404,
  },
  { name: "a session without a code", path: "/api/session", method: "POST", body: "{}", status: 400 },
  { name: "a session with an unknown code", path: "/api/session", method: "POST", body: '{"code":"abc"}', status: 401 },
  { name: "a session with no JSON", path: "/api/session", method: "POST", body: "<", status: 422 },
  { name: "a session with a large body", path: "/api/session", method: "POST", body: " ".repeat(5000), status: 413 },
  { name: "an unknown path", path: "/api/nothing", status: 404 },
  { name: "a path that is too long", path: "/api/packages/a/rollback/b", method: "POST", headers: auth, status: 404 },
  { name: "a name that is not UTF-8", path: "/api/packages/%ff", method: "DELETE", headers: auth, status: 400 },
  { name: "a wrong method", path: "/api/status", method: "PUT", status: 405 },
  { name: "a wrong method for a file", path: "/", method: "PUT", status: 405 },
  { name: "an unknown file", path: "/page/0123456789abcdef/main.js", status: 404 },
  { name: "a file outside of the folder", path: "/page/../deno.json", status: 404 },
  { name: "a failure", path: "/api/doctor", status: 500 },
  { name: "a HEAD request", path: "/api/status", method: "HEAD", status: 200 },
];

for (const { name, path, at = AT_HOME, from = LOCAL, method = "GET", headers = {}, body, options, status } of ROWS) {
  Deno.test(`page: ${name} is answered with ${status}`, async () => {
    await using fixture = await createFixture(options);
    const request = new Request(`${at}${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    const response = await fixture.handler(request, from);
    assertEquals(response.status, status);
    const text = await response.text();
    if (method === "HEAD") assertEquals(text, "");
    else if (status >= 400) assertEquals(Array.isArray(JSON.parse(text).errors), true);
    assertEquals(response.headers.has("www-authenticate"), status === 401);
    assertEquals(response.headers.has("allow"), status === 405);
    assertEquals(fixture.errors.length, status === 500 ? 1 : 0);
    assert(!text.includes(TOKEN), "the token is not told");
  });
}

Deno.test("page: a change has the name, the namespace and the version of the request", async () => {
  await using fixture = await createFixture();
  const send = async (method: string, path: string) =>
    await (await fixture.handler(new Request(`${AT_HOME}${path}`, { method, headers: auth }), LOCAL)).body?.cancel();
  await send("POST", "/api/packages/web%2Fx/rollback?namespace=shop&to=1.0.0");
  await send("DELETE", "/api/packages/web?dry-run");
  assertEquals(fixture.calls, [
    ["rollback", { name: "web/x", namespace: "shop", to: "1.0.0", dryRun: false }],
    ["remove", { name: "web", namespace: undefined, to: undefined, dryRun: true }],
  ]);
});

Deno.test("page: a server that does not install refuses changes", async () => {
  await using other = await createFixture({ source: {} as PageSource });
  const request = new Request(`${AT_HOME}/api/packages/web`, { method: "DELETE", headers: auth });
  const response = await other.handler(request, LOCAL);
  assertEquals([response.status, (await response.json()).errors[0].code], [405, "UNSUPPORTED"]);
});

Deno.test("page: errors of the source keep their status", async () => {
  const source = { readStatus: () => Promise.reject(new RegistryError("NOT_FOUND", "Cannot find it")) };
  await using fixture = await createFixture({ source: source as unknown as PageSource });
  const response = await fixture.handler(new Request(`${AT_HOME}/api/status`), LOCAL);
  assertEquals([response.status, (await response.json()).errors[0].message], [404, "Cannot find it"]);
});

Deno.test("page: a code is exchanged for the token once", async () => {
  await using fixture = await createFixture();
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
  await using fixture = await createFixture();
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

Deno.test("page: a bundle is downloaded whole, in ranges and not at all, and its file is closed each time", async () => {
  await using fixture = await createFixture();
  const get = async (headers: Record<string, string>, method = "GET") => {
    const request = new Request(`${AT_HOME}/api/outbox/${BUNDLE}`, { headers, method });
    const response = await fixture.handler(request, LOCAL);
    return { response, text: await response.text(), closed: fixture.calls.splice(0).length };
  };
  const whole = await get({});
  assertEquals([whole.response.status, whole.text, whole.closed], [200, CONTENT, 1]);
  assertEquals(
    ["content-type", "content-length", "content-disposition", "accept-ranges", "etag", "x-content-type-options"]
      .map((name) => whole.response.headers.get(name)),
    ["application/gzip", "10", 'attachment; filename="line4@1.0.0.tgz"', "bytes", `"${BUNDLE}"`, "nosniff"],
  );
  const etag = `"${BUNDLE}"`;
  for (
    const [headers, expected] of [
      [{ range: "bytes=4-" }, [206, "456789", "bytes 4-9/10"]],
      [{ range: "bytes=2-3" }, [206, "23", "bytes 2-3/10"]],
      [{ range: "bytes=-1" }, [206, "9", "bytes 9-9/10"]],
      [{ range: "bytes=4-", "if-range": etag }, [206, "456789", "bytes 4-9/10"]],
      [{ range: "bytes=4-", "if-range": '"other"' }, [200, CONTENT, null]],
      [{ range: "lines=4-" }, [200, CONTENT, null]],
      [{ "if-none-match": etag }, [304, "", null]],
    ] as const
  ) {
    const { response, text, closed } = await get({ ...headers });
    assertEquals([[response.status, text, response.headers.get("content-range")], closed], [[...expected], 1]);
  }
  const outside = await get({ range: "bytes=10-" });
  assertEquals([outside.response.status, outside.response.headers.get("content-range")], [416, "bytes */10"]);
  assertEquals(outside.closed, 1);
  const head = await get({}, "HEAD");
  assertEquals([head.response.status, head.text, head.closed], [200, "", 1]);
});

Deno.test("page: a link allows the download of one bundle from elsewhere, for a day", async () => {
  await using fixture = await createFixture();
  const send = (path: string, init: RequestInit = {}) =>
    fixture.handler(new Request(`${AT_SITE}${path}`, init), REMOTE);
  const answer = await send(`/api/outbox/${BUNDLE}/link`, { method: "POST", headers: auth });
  const { url } = await answer.json();
  const download = await send(url);
  assertEquals([download.status, await download.text()], [200, CONTENT]);
  const expires = new URL(url, AT_SITE).searchParams.get("expires")!;
  const later = String(Number(expires) + 1);
  for (
    const wrong of [
      url.replace(BUNDLE, OTHER),
      url.replace(`expires=${expires}`, `expires=${later}`),
      url.replace(`expires=${expires}`, "expires=0"),
      url.replace(`expires=${expires}`, "expires=x"),
      url.slice(0, -1),
      url.replace(/key=.*/, "key="),
      `/api/outbox?${new URL(url, AT_SITE).searchParams}`,
    ]
  ) {
    const response = await send(wrong);
    assertEquals([wrong, response.status], [wrong, 401]);
    await response.body?.cancel();
  }
  assertEquals((await send(url, { method: "DELETE" })).status, 401);
});
