import { ApiTokens } from "../../../lib/agent/check_token.ts";
import type { PageSource } from "../../../lib/page/page_options.ts";
import { assertEquals } from "../../support/assert.ts";
import {
  AT_HOME,
  AT_SITE,
  AUTH,
  createPageFixture,
  LOCAL,
  type PageRow,
  REMOTE,
  testRows,
  TEXT,
} from "../../support/page_fixture.ts";

const INVENTORY = `{"digests":[]}`;
const MARKUP = encodeURIComponent("<img src=x onerror=alert(1)>");

/** The changes, each with a body that is valid. `isUnsigned`: it would bring content without a signature. */
const CHANGES: readonly (PageRow & { readonly isUnsigned?: boolean })[] = [
  { name: "a pull", path: "/api/images?image=nginx", method: "POST", status: 202, isUnsigned: true },
  { name: "a removal of an image", path: "/api/images?image=nginx:1", method: "DELETE", status: 200 },
  { name: "an inventory", path: "/api/inventories/gate-2", method: "PUT", body: INVENTORY, status: 201 },
  { name: "a removal of an inventory", path: "/api/inventories/gate-2", method: "DELETE", status: 200 },
  {
    name: "a registry",
    path: "/api/registries/registry.lan%3A5000",
    method: "PUT",
    body: "{}",
    status: 200,
    isUnsigned: true,
  },
  {
    name: "a removal of a registry",
    path: "/api/registries/registry.lan",
    method: "DELETE",
    status: 200,
    isUnsigned: true,
  },
  { name: "a test of a registry", path: "/api/registries/registry.lan/test", method: "POST", status: 200 },
];

testRows([
  ...CHANGES.flatMap((row): PageRow[] => [
    { ...row, headers: AUTH },
    { ...row, name: `${row.name} needs the token, also on the machine itself`, status: 401 },
    { ...row, name: `${row.name} with a wrong token`, headers: { authorization: "Bearer other" }, status: 401 },
    {
      ...row,
      name: `${row.name} of a server that cannot do it`,
      headers: AUTH,
      options: { source: {} as PageSource },
      status: 404,
    },
    {
      ...row,
      name: `${row.name} where packages must be signed`,
      headers: AUTH,
      options: { acceptsOnlySigned: true },
      status: row.isUnsigned ? 403 : row.status,
    },
    {
      ...row,
      name: `${row.name} in a read-only folder`,
      headers: AUTH,
      options: { tokens: new ApiTokens(undefined) },
      status: 503,
    },
  ]),
  ...["/api/inventory", "/api/inventories", "/api/registries", "/api/images"].flatMap((path): PageRow[] => [
    { name: `${path} on the machine itself`, path, status: 200 },
    { name: `${path} from elsewhere`, path, at: AT_SITE, from: REMOTE, status: 401 },
    { name: `a wrong method for ${path}`, path, method: "PATCH", headers: AUTH, status: 405 },
  ]),
  { name: "a pull of nothing", path: "/api/images", method: "POST", headers: AUTH, status: 400 },
  { name: "a pull of markup", path: `/api/images?image=${MARKUP}`, method: "POST", headers: AUTH, status: 400 },
  {
    name: "a pull for no platform",
    path: "/api/images?image=nginx&platform=arm64/",
    method: "POST",
    headers: AUTH,
    status: 422,
  },
  {
    name: "a removal of a pinned image",
    path: "/api/images?image=pinned",
    method: "DELETE",
    headers: AUTH,
    status: 409,
  },
  {
    name: "settings of a registry that are no object",
    path: "/api/registries/registry.lan",
    method: "PUT",
    headers: AUTH,
    body: "[]",
    status: 400,
  },
  {
    name: "settings of a registry that are no JSON",
    path: "/api/registries/registry.lan",
    method: "PUT",
    headers: AUTH,
    body: "{",
    status: 422,
  },
  {
    name: "settings of a registry that are too large",
    path: "/api/registries/registry.lan",
    method: "PUT",
    headers: AUTH,
    body: " ".repeat(256 * 1024 + 1),
    status: 413,
  },
  {
    name: "a pack without the content of an unknown site",
    path: "/api/packs?have=gate-3",
    method: "POST",
    headers: AUTH,
    body: TEXT,
    status: 404,
  },
  { name: "a path below a test", path: "/api/registries/a/test/b", method: "POST", headers: AUTH, status: 404 },
  { name: "a path below an inventory", path: "/api/inventories/a/b", method: "PUT", headers: AUTH, status: 404 },
]);

Deno.test("page: the screens' changes have what the request says", async () => {
  await using fixture = await createPageFixture();
  const send = async (method: string, path: string, body?: string) => {
    const request = new Request(`${AT_HOME}${path}`, {
      method,
      headers: AUTH,
      ...(body === undefined ? {} : { body }),
    });
    return await (await fixture.handler(request, LOCAL)).json();
  };
  await send("POST", "/api/images?image=nginx&platform=linux/arm64");
  await send("PUT", "/api/inventories/gate-2", INVENTORY);
  await send("DELETE", "/api/inventories/gate-2");
  await send("PUT", "/api/registries/registry.lan%3A5000", '{"username":"me"}');
  await send("POST", "/api/registries/registry.lan/test", '{"password":"p"}');
  await send("POST", "/api/registries/registry.lan/test");
  await send("DELETE", "/api/registries/registry.lan");
  const { jobs } = await send("POST", "/api/packs?have=gate-2", TEXT);
  assertEquals(fixture.calls, [
    ["pull", "docker.io/library/nginx:latest", ["linux/arm64"]],
    ["inventory", "gate-2", INVENTORY.length],
    ["no inventory", "gate-2"],
    ["registry", "registry.lan:5000", { username: "me" }],
    ["test", "registry.lan", { password: "p" }],
    ["test", "registry.lan", undefined],
    ["no registry", "registry.lan"],
    ["line4", [], true],
  ]);
  assertEquals(await send("GET", "/api/inventory"), { code: '{"node":"gate-2"}' });
  await send("DELETE", `/api/jobs/${jobs[0].id}`);
});
