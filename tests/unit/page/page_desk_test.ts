import { createHmac } from "node:crypto";
import type { JobContext } from "../../../lib/page/page_jobs.ts";
import type { PageSource } from "../../../lib/page/page_options.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeKubePkg } from "../../support/kubepkg.ts";
import {
  AT_HOME,
  AT_SITE,
  AUTH,
  BUNDLE,
  CONTENT,
  createPageFixture,
  LOCAL,
  OTHER,
  type PageRow,
  RELEASE,
  REMOTE,
  testRows,
  TEXT,
  TOKEN,
} from "../../support/page_fixture.ts";

const LARGE = " ".repeat(16 * 1024 * 1024 + 1);
testRows([
  { name: "the outbox", path: "/api/outbox", status: 200 },
  { name: "the outbox from elsewhere", path: "/api/outbox", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "a bundle", path: `/api/outbox/${BUNDLE}`, headers: AUTH, status: 200 },
  { name: "a bundle needs the token, also on the machine itself", path: `/api/outbox/${BUNDLE}`, status: 401 },
  { name: "a bundle from elsewhere", path: `/api/outbox/${BUNDLE}`, at: AT_SITE, from: REMOTE, status: 401 },
  { name: "an unknown bundle", path: `/api/outbox/${OTHER}`, headers: AUTH, status: 404 },
  { name: "a bundle with no digest", path: "/api/outbox/line4", status: 404 },
  { name: "a wrong method for a bundle", path: `/api/outbox/${BUNDLE}`, method: "PUT", status: 405 },
  { name: "a link needs the token", path: `/api/outbox/${BUNDLE}/link`, method: "POST", status: 401 },
  { name: "a link", path: `/api/outbox/${BUNDLE}/link`, method: "POST", headers: AUTH, status: 201 },
  { name: "a removal of a bundle needs the token", path: `/api/outbox/${BUNDLE}`, method: "DELETE", status: 401 },
  { name: "a removal of a bundle", path: `/api/outbox/${BUNDLE}`, method: "DELETE", headers: AUTH, status: 200 },
  {
    name: "a removal of an unknown bundle",
    path: `/api/outbox/${OTHER}`,
    method: "DELETE",
    headers: AUTH,
    status: 404,
  },
  { name: "a check needs the token", path: "/api/releases/check", method: "POST", body: TEXT, status: 401 },
  ...["/api/releases/check", "/api/packs"].flatMap((path): PageRow[] => [
    { name: `no text for ${path}`, path, method: "POST", headers: AUTH, status: 400 },
    { name: `a text that is too large for ${path}`, path, method: "POST", headers: AUTH, body: LARGE, status: 413 },
    {
      name: `an agent's ${path}`,
      path,
      method: "POST",
      headers: AUTH,
      body: TEXT,
      options: { source: {} as PageSource },
      status: 404,
    },
  ]),
  { name: "a check", path: "/api/releases/check", method: "POST", headers: AUTH, body: TEXT, status: 200 },
  {
    name: "a check of a text that is no release",
    path: "/api/releases/check",
    method: "POST",
    headers: AUTH,
    body: "x",
    status: 200,
  },
  {
    name: "a pack of a text that is no release",
    path: "/api/packs",
    method: "POST",
    headers: AUTH,
    body: "x",
    status: 422,
  },
  {
    name: "a pack for no platform",
    path: "/api/packs?platform=arm64/",
    method: "POST",
    headers: AUTH,
    body: TEXT,
    status: 422,
  },
  { name: "the jobs", path: "/api/jobs", status: 200 },
  { name: "the jobs from elsewhere", path: "/api/jobs", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "an end of a job needs the token", path: "/api/jobs/1", method: "DELETE", status: 401 },
  { name: "an end of an unknown job", path: "/api/jobs/1", method: "DELETE", headers: AUTH, status: 404 },
]);

Deno.test("page: a bundle is downloaded whole, in ranges and not at all, and its file is closed each time", async () => {
  await using fixture = await createPageFixture();
  const get = async (headers: Record<string, string>, method = "GET") => {
    const request = new Request(`${AT_HOME}/api/outbox/${BUNDLE}`, { headers: { ...AUTH, ...headers }, method });
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
  await using fixture = await createPageFixture();
  const send = (path: string, init: RequestInit = {}) =>
    fixture.handler(new Request(`${AT_SITE}${path}`, init), REMOTE);
  const answer = await send(`/api/outbox/${BUNDLE}/link`, { method: "POST", headers: AUTH });
  const { url } = await answer.json();
  const download = await send(url);
  assertEquals([download.status, await download.text()], [200, CONTENT]);
  const expires = new URL(url, AT_SITE).searchParams.get("expires")!;
  // Who has links learns nothing about the token.
  const underToken = createHmac("sha256", TOKEN).update(`download ${BUNDLE} ${expires}`).digest("hex");
  const later = String(Number(expires) + 1);
  for (
    const wrong of [
      url.replace(BUNDLE, OTHER),
      url.replace(`expires=${expires}`, `expires=${later}`),
      url.replace(`expires=${expires}`, "expires=0"),
      url.replace(`expires=${expires}`, "expires=x"),
      url.slice(0, -1),
      url.replace(/key=.*/, `key=${underToken}`),
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

Deno.test("page: a pack is a job that other clients see, that is stopped, and is then forgotten", async () => {
  await using fixture = await createPageFixture();
  const send = async (method: string, path: string, body?: string) => {
    const init = { method, headers: AUTH, ...(body === undefined ? {} : { body }) };
    const response = await fixture.handler(new Request(`${AT_HOME}${path}`, init), LOCAL);
    return { status: response.status, document: await response.json() };
  };
  const checked = await send("POST", "/api/releases/check", TEXT);
  assertEquals(checked.document, { releases: [RELEASE] });
  assertEquals((await send("POST", "/api/releases/check", "x")).document, {
    releases: [],
    error: "Cannot use the release: it must be an object",
    problems: [{ field: "", message: "must be an object", line: 1 }],
    more: 0,
  });
  const wrong = JSON.stringify(makeKubePkg({}, { name: "wrong" }));
  assertEquals((await send("POST", "/api/releases/check", wrong)).document, {
    releases: [],
    error: "Cannot use the release: an object is wrong",
    problems: [{ field: "", message: "Cannot use the release: an object is wrong" }],
    more: 0,
  });
  const started = await send("POST", "/api/packs?platform=linux/arm64", TEXT);
  const job = { id: "1", kind: "pack", title: "line4@1.0.0", state: "running", bytes: 1, total: 2 };
  assertEquals([started.status, started.document.jobs[0].id], [202, "1"]);
  assertEquals(fixture.calls, [["line4", ["linux/arm64"]]]);
  assertEquals((await send("GET", "/api/jobs")).document, { jobs: [job] });
  for (let i = 2; i <= 4; i++) assertEquals((await send("POST", "/api/packs", TEXT)).status, 202);
  assertEquals((await send("POST", "/api/packs", TEXT)).status, 429);
  assertEquals((await send("DELETE", "/api/jobs/1")).status, 200);
  const list = (await send("GET", "/api/jobs")).document.jobs;
  assertEquals(list.map(({ id, state }: typeof job) => `${id} ${state}`), [
    "4 running",
    "3 running",
    "2 running",
    "1 stopped",
  ]);
  await send("DELETE", "/api/jobs/1");
  assertEquals((await send("GET", "/api/jobs")).document.jobs.length, 3);
});

for (
  const { releases, running, status } of [
    { releases: 4, running: 0, status: 202 },
    { releases: 2, running: 2, status: 202 },
    { releases: 2, running: 3, status: 429 },
    { releases: 5, running: 0, status: 400 },
  ]
) {
  Deno.test(`page: ${releases} releases beside ${running} packs are answered with ${status}, and all or none is started`, async () => {
    const desk = {
      describe: () => RELEASE,
      pack: (_release: unknown, _platforms: unknown, { signal }: JobContext) =>
        new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    };
    await using fixture = await createPageFixture({ source: { desk } as unknown as PageSource });
    const send = async (method: string, path: string, body?: string) => {
      const init = { method, headers: AUTH, ...(body === undefined ? {} : { body }) };
      const response = await fixture.handler(new Request(`${AT_HOME}${path}`, init), LOCAL);
      return { status: response.status, document: await response.json() };
    };
    for (let i = 0; i < running; i++) await send("POST", "/api/packs", TEXT);
    // A stream of YAML documents.
    const text = Array.from({ length: releases }, () => `--- ${TEXT}\n`).join("");
    assertEquals((await send("POST", "/api/packs", text)).status, status);
    const { document: { jobs } } = await send("GET", "/api/jobs");
    assertEquals(jobs.length, running + (status === 202 ? releases : 0));
    for (const { id } of jobs) await send("DELETE", `/api/jobs/${id}`);
  });
}
