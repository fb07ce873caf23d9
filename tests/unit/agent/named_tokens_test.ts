import { ApiTokens } from "../../../lib/agent/check_token.ts";
import { NamedTokens, type Scope } from "../../../lib/agent/named_tokens.ts";
import { CorruptError, RefusedError, type RegistryError } from "../../../lib/oci/error.ts";
import { createAgentHandlerFixture } from "../../support/agent_handler_fixture.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { AUTH, createPageFixture, REMOTE } from "../../support/page_fixture.ts";
import { TestFolder } from "../../support/test_folder.ts";

const FIRST = "the-first-token";
const NOW = Date.parse("2026-11-28T12:00:00Z");

async function statusOf(tokens: ApiTokens, token: string | undefined, scope: Scope): Promise<number | string> {
  const headers = new Headers(token === undefined ? {} : { authorization: `Bearer ${token}` });
  try {
    return (await tokens.check(headers, { scope, action: "do it" })).token;
  } catch (error) {
    return (error as RegistryError).status;
  }
}

Deno.test("[104] each scope includes the ones before it, and the first token has all of them", async () => {
  await using folder = await TestFolder.create();
  const named = new NamedTokens(folder.path);
  const tokens = new ApiTokens(FIRST, named);
  const created = {
    read: await named.create("r", { scope: "read" }),
    import: await named.create("i", { scope: "import" }),
    admin: await named.create("a", { scope: "admin" }),
    first: FIRST,
    wrong: "x",
    none: undefined,
  };
  const table: Record<string, unknown> = {};
  for (const [name, token] of Object.entries(created)) {
    table[name] = await Promise.all((["read", "import", "admin"] as const).map((it) => statusOf(tokens, token, it)));
  }
  assertEquals(table, {
    read: ["r", 403, 403],
    import: ["i", "i", 403],
    admin: ["a", "a", "a"],
    first: ["first", "first", "first"],
    wrong: [401, 401, 401],
    none: [401, 401, 401],
  });
});

Deno.test("[104] tokens are kept as hashes, in a file of mode 0600 that is replaced", async () => {
  await using folder = await TestFolder.create();
  const named = new NamedTokens(folder.path);
  const path = `${folder.path}/kubepkg/.tokens.json`;
  const token = await named.create("ci", { scope: "import" });
  const before = await Deno.stat(path);
  await named.create("b", { scope: "read", now: () => NOW, expires: NOW + 1000 });
  const after = await Deno.stat(path);
  assertEquals([before.mode! & 0o777, after.mode! & 0o777, before.ino === after.ino], [0o600, 0o600, false]);
  assert(token.length >= 43, "256 bits");
  const text = await Deno.readTextFile(path);
  assert(!text.includes(token), "the token is not in the file");
  assertEquals((await named.list()).map(({ name, scope, expires }) => [name, scope, expires]), [
    ["b", "read", "2026-11-28T12:00:01.000Z"],
    ["ci", "import", undefined],
  ]);
});

Deno.test("[104] a token that was revoked, or has expired, is refused at once", async () => {
  await using folder = await TestFolder.create();
  const named = new NamedTokens(folder.path);
  let now = NOW;
  const tokens = new ApiTokens(FIRST, new NamedTokens(folder.path), () => now);
  const short = await named.create("short", { scope: "read", expires: NOW + 1000 });
  const ci = await named.create("ci", { scope: "read" });
  assertEquals([await statusOf(tokens, short, "read"), await statusOf(tokens, ci, "read")], ["short", "ci"]);
  now += 1000;
  assertEquals([await statusOf(tokens, short, "read"), await statusOf(tokens, ci, "read")], [401, "ci"]);
  assertEquals((await named.revoke("ci"))?.name, "ci");
  assertEquals(await statusOf(tokens, ci, "read"), 401);
  assertEquals(await named.revoke("ci"), undefined);
});

for (
  const [what, names] of [
    ["an empty name", [""]],
    ["a name with a slash", ["a/b"]],
    ["a name that begins with a dash", ["-a"]],
    ["a name of 64 characters", ["a".repeat(64)]],
    ["the name of the first token", ["first"]],
    ["a name twice", ["a", "a"]],
    ["more than 200 names", Array.from({ length: 201 }, (_, i) => `t${i}`)],
  ] as const
) {
  Deno.test(`[104] ${what} is refused`, async () => {
    await using folder = await TestFolder.create();
    const named = new NamedTokens(folder.path);
    for (const name of names.slice(0, -1)) await named.create(name, { scope: "read" });
    await assertRejects(() => named.create(names.at(-1)!, { scope: "read" }), RefusedError);
  });
}

Deno.test("[104] tokens that are created at the same time are all kept", async () => {
  await using folder = await TestFolder.create();
  const names = Array.from({ length: 8 }, (_, i) => `t${i}`);
  await Promise.all(names.map((name) => new NamedTokens(folder.path).create(name, { scope: "read" })));
  assertEquals((await new NamedTokens(folder.path).list()).map(({ name }) => name), names);
});

for (
  const text of ["", "{", "[]", '{"tokens":{}}', '{"tokens":[{"name":"a","scope":"root","created":"x","hash":""}]}']
) {
  Deno.test(`[104] a damaged list of tokens is named, and the first token stays: ${text}`, async () => {
    await using folder = await TestFolder.create();
    await Deno.mkdir(`${folder.path}/kubepkg`);
    await Deno.writeTextFile(`${folder.path}/kubepkg/.tokens.json`, text);
    const named = new NamedTokens(folder.path);
    await assertRejects(() => named.list(), CorruptError, ".tokens.json");
    const tokens = new ApiTokens(FIRST, named);
    assertEquals([await statusOf(tokens, FIRST, "admin"), await statusOf(tokens, "x", "read")], ["first", 503]);
  });
}

Deno.test("[104] the agent asks for the scope that a request needs", async () => {
  await using folder = await TestFolder.create();
  const named = new NamedTokens(folder.path);
  const created: Record<string, string> = {};
  for (const scope of ["read", "import", "admin"] as const) created[scope] = await named.create(scope, { scope });
  await using site = await createAgentHandlerFixture({ tokens: new ApiTokens(FIRST, named) });
  const rows = [
    ["GET", "/kubepkgs/web/manifests", 404, 404, 404],
    ["PUT", "/kubepkgs", 403, 422, 422],
    ["POST", "/kubepkgs/plan", 403, 422, 422],
    ["PUT", "/kubepkgs?force=true", 403, 403, 422],
    ["PUT", "/kubepkgs?prune-data=true", 403, 403, 422],
    ["POST", "/kubepkgs/plan?force=true", 403, 403, 422],
  ] as const;
  for (const [method, path, ...expected] of rows) {
    const statuses = [];
    for (const token of Object.values(created)) {
      const response = await site.ask(path, { method, token, ...(method === "GET" ? {} : { body: "x" }) });
      await response.body?.cancel();
      statuses.push(response.status);
    }
    assertEquals([method, path, ...statuses], [method, path, ...expected]);
  }
});

Deno.test("[104] the page asks for the scope that a request needs", async () => {
  await using folder = await TestFolder.create();
  const named = new NamedTokens(folder.path);
  const created: Record<string, string> = {};
  for (const scope of ["read", "import", "admin"] as const) created[scope] = await named.create(scope, { scope });
  await using page = await createPageFixture({ tokens: new ApiTokens(AUTH.authorization.slice(7), named) });
  const node = encodeURIComponent("https://192.168.1.20:36060");
  const digest = `sha256:${"a".repeat(64)}`;
  const rows = [
    ["GET", "status", "read"],
    ["GET", "outbox", "read"],
    ["GET", `outbox/${digest}`, "read"],
    ["GET", "jobs", "read"],
    ["GET", "registries", "read"],
    ["POST", `outbox/${digest}/link`, "read"],
    ["POST", "packs", "import"],
    ["POST", "releases/check", "import"],
    ["POST", "images?image=nginx", "import"],
    ["PUT", "inventories/gate-2", "import"],
    ["DELETE", "jobs/1", "import"],
    ["POST", `nodes/${node}/send`, "import"],
    ["POST", `nodes/${node}/send?force=true`, "admin"],
    ["POST", `nodes/${node}/plan?prune-data=true`, "admin"],
    ["POST", "nodes", "admin"],
    ["POST", "nodes/search", "admin"],
    ["DELETE", `nodes/${node}`, "admin"],
    ["POST", `nodes/${node}/packages/web/rollback`, "admin"],
    ["DELETE", `nodes/${node}/packages/web`, "admin"],
    ["DELETE", "images?image=nginx", "admin"],
    ["DELETE", "inventories/gate-2", "admin"],
    ["DELETE", `outbox/${digest}`, "admin"],
    ["PUT", "registries/registry.lan", "admin"],
    ["DELETE", "registries/registry.lan", "admin"],
    ["POST", "registries/registry.lan/test", "admin"],
    ["POST", "codes", "admin"],
    ["POST", "packages/web/rollback", "admin"],
    ["DELETE", "packages/web", "admin"],
  ] as const;
  const order = ["read", "import", "admin"];
  for (const [method, path, needed] of rows) {
    const allowed: string[] = [];
    for (const [scope, token] of Object.entries(created)) {
      const request = new Request(`http://192.168.1.20:36060/api/${path}`, {
        method,
        headers: { authorization: `Bearer ${token}` },
        ...(method === "PUT" ? { body: "{}" } : {}),
      });
      const response = await page.handler(request, REMOTE);
      await response.body?.cancel();
      if (response.status !== 401 && response.status !== 403) allowed.push(scope);
    }
    assertEquals([method, path, allowed], [method, path, order.slice(order.indexOf(needed))]);
  }
});
