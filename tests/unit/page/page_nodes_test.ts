import type { PageSource } from "../../../lib/page/page_options.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  AT_HOME,
  AT_SITE,
  AUTH,
  BUNDLE,
  createPageFixture,
  LOCAL,
  NODE,
  type PageRow,
  REMOTE,
  testRows,
} from "../../support/page_fixture.ts";

const AT_NODE = `/api/nodes/${encodeURIComponent(NODE)}`;
const CHANGES = [
  ["POST", "/api/nodes"],
  ["POST", "/api/nodes/search"],
  ["DELETE", AT_NODE],
  ["POST", `${AT_NODE}/plan?bundle=${BUNDLE}`],
  ["POST", `${AT_NODE}/send?bundle=${BUNDLE}`],
  ["POST", `${AT_NODE}/packages/line4/rollback`],
  ["DELETE", `${AT_NODE}/packages/line4`],
] as const;
testRows([
  { name: "the agents", path: "/api/nodes", status: 200 },
  { name: "the agents from elsewhere", path: "/api/nodes", at: AT_SITE, from: REMOTE, status: 401 },
  { name: "the agents of an agent", path: "/api/nodes", options: { source: {} as PageSource }, status: 200 },
  ...CHANGES.flatMap(([method, path]): PageRow[] => [
    { name: `without the token, ${method} ${path}`, method, path, status: 401 },
    {
      name: `of an agent, ${method} ${path}`,
      method,
      path,
      headers: AUTH,
      options: { source: {} as PageSource },
      status: 404,
    },
  ]),
  ...["", "{}", "[]", '{"address":1}', '{"address":"a","token":1}'].map((body): PageRow => ({
    name: `an addition with the body ${body}`,
    path: "/api/nodes",
    method: "POST",
    headers: AUTH,
    body,
    status: body === "" ? 422 : 400,
  })),
  {
    name: "an addition with a large body",
    path: "/api/nodes",
    method: "POST",
    headers: AUTH,
    body: " ".repeat(300_000),
    status: 413,
  },
  ...["a b", "a\nb", "ключ", "a\u007f"].map((token): PageRow => ({
    name: `an addition with the token ${JSON.stringify(token)}`,
    path: "/api/nodes",
    method: "POST",
    headers: AUTH,
    body: JSON.stringify({ address: NODE, token }),
    status: 400,
  })),
  { name: "a plan without a bundle", path: `${AT_NODE}/plan`, method: "POST", headers: AUTH, status: 400 },
  { name: "a bundle that is no digest", path: `${AT_NODE}/send?bundle=x`, method: "POST", headers: AUTH, status: 400 },
  { name: "a search by GET", path: "/api/nodes/search", headers: AUTH, status: 405 },
  { name: "an unknown action of an agent", path: `${AT_NODE}/restart`, method: "POST", headers: AUTH, status: 404 },
  { name: "an agent's name that is not UTF-8", path: "/api/nodes/%ff", method: "DELETE", headers: AUTH, status: 400 },
  {
    name: "a path of an agent that is too long",
    path: `${AT_NODE}/packages/line4/rollback/x`,
    method: "POST",
    headers: AUTH,
    status: 404,
  },
]);

Deno.test("page: requests about agents are passed on with their parameters, and never show a token", async () => {
  await using fixture = await createPageFixture();
  const send = async (method: string, path: string, body?: string) => {
    const init = { method, headers: AUTH, ...(body === undefined ? {} : { body }) };
    const response = await fixture.handler(new Request(`${AT_HOME}${path}`, init), LOCAL);
    const text = await response.text();
    assert(!text.includes("secret"), text);
    return { status: response.status, document: JSON.parse(text) };
  };
  const added = await send(
    "POST",
    "/api/nodes",
    JSON.stringify({ address: NODE, token: " secret\n", ca: "", fingerprint: " sha256:00 " }),
  );
  assertEquals(added.status, 201);
  assertEquals(fixture.calls.splice(0), [
    { address: NODE, token: "secret", ca: undefined, fingerprint: "sha256:00", isInsecureAllowed: false },
  ]);
  await send("POST", "/api/nodes", JSON.stringify({ address: NODE, insecure: true }));
  assertEquals(fixture.calls.splice(0), [
    { address: NODE, token: undefined, ca: undefined, fingerprint: undefined, isInsecureAllowed: true },
  ]);
  await send("POST", `${AT_NODE}/plan?bundle=${BUNDLE}&force=true`);
  const job = await send("POST", `${AT_NODE}/send?bundle=${BUNDLE}&prune-data`);
  assertEquals([job.status, job.document.kind, job.document.node], [202, "send", NODE]);
  const change = await send("POST", `${AT_NODE}/packages/web%2Fx/rollback?namespace=shop&to=1.0.0`);
  assertEquals(change.status, 409);
  await send("DELETE", `${AT_NODE}/packages/web?dry-run=true`);
  await send("DELETE", AT_NODE);
  assertEquals(fixture.calls, [
    ["plan", NODE, BUNDLE, { force: true, pruneData: false }],
    ["send", NODE, BUNDLE, { force: false, pruneData: true }],
    ["change", NODE, "POST", "/api/packages/web%2Fx/rollback?namespace=shop&to=1.0.0"],
    ["change", NODE, "DELETE", "/api/packages/web?dry-run=true"],
    ["forget", NODE],
  ]);
  const [ended] = (await send("GET", "/api/jobs")).document.jobs;
  assertEquals([ended.state, ended.result, ended.title], ["done", { imported: true }, BUNDLE]);
});

for (
  const [status, expected] of [
    [200, 200],
    [202, 202],
    [409, 409],
    [503, 503],
    [101, 502],
    [204, 502],
    [205, 502],
    [302, 502],
    [304, 502],
    [600, 502],
  ] as const
) {
  Deno.test(`page: a change that an agent answers with ${status} is answered with ${expected}`, async () => {
    const nodes = { change: () => Promise.resolve({ status, bytes: new TextEncoder().encode("{}") }) };
    await using fixture = await createPageFixture({ source: { nodes } as unknown as PageSource });
    const request = new Request(`${AT_HOME}${AT_NODE}/packages/line4`, { method: "DELETE", headers: AUTH });
    const response = await fixture.handler(request, LOCAL);
    await response.body?.cancel();
    assertEquals([response.status, fixture.errors], [expected, []]);
  });
}
