import { AuditLog } from "../../../lib/files/audit_log.ts";
import { ApiTokens } from "../../../lib/agent/check_token.ts";
import { NamedTokens } from "../../../lib/agent/named_tokens.ts";
import { createAgentHandlerFixture, makeBundle } from "../../support/agent_handler_fixture.ts";
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { buildImage } from "../../support/images.ts";
import { AUTH, createPageFixture, REMOTE } from "../../support/page_fixture.ts";
import { TestFolder } from "../../support/test_folder.ts";

const IMAGE = buildImage({ files: { "a.txt": "a" } });

async function readLines(data: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(`${data}/audit.ndjson`);
  return text.trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("[105] an agent logs who has imported what, and how it ended", async () => {
  await using log = await TestFolder.create();
  const tokens = new ApiTokens("first-token", new NamedTokens(log.path));
  const ci = await new NamedTokens(log.path).create("ci", { scope: "import" });
  await using site = await createAgentHandlerFixture({ audit: new AuditLog(log.path), tokens });
  const put = async (body: Uint8Array<ArrayBuffer>, query = "") => {
    const response = await site.ask(`/kubepkgs${query}`, { method: "PUT", body, token: ci });
    await response.body?.cancel();
    return response.status;
  };
  const [old, current] = [await makeBundle(IMAGE), await makeBundle(IMAGE, { version: "1.1.0" })];
  assertEquals([await put(current, "?dry-run"), await put(current), await put(current), await put(old)], [
    200,
    200,
    200,
    409,
  ]);
  assertEquals(await put(new Uint8Array(100)), 422);
  const lines = await readLines(log.path);
  const seen = lines.map(({ phase, by, version, verdict, result, trust }) => [
    ...[phase, (by as { token: string }).token, version, verdict, result, trust],
  ]);
  assertEquals(seen, [
    ["begin", "ci", "1.1.0", "install", undefined, "unsigned"],
    ["end", "ci", "1.1.0", "install", "imported", "unsigned"],
    ["end", "ci", "1.1.0", "same", "same", "unsigned"],
    ["end", "ci", "1.0.0", undefined, "refused", undefined],
    ["end", "ci", undefined, undefined, "failed", undefined],
  ]);
  assertEquals(lines[0]!.id, lines[1]!.id);
  assertStringIncludes(`${lines[3]!.error}`, "1.1.0");
});

Deno.test("[105] an import whose begin cannot be logged installs nothing, and can be repeated", async () => {
  await using log = await TestFolder.create();
  await Deno.mkdir(`${log.path}/audit.ndjson`);
  await using site = await createAgentHandlerFixture({ audit: new AuditLog(log.path) });
  const bundle = await makeBundle(IMAGE);
  const put = async () => await site.ask("/kubepkgs", { method: "PUT", body: bundle });
  const refused = await put();
  assertEquals(refused.status, 500);
  assertStringIncludes(await refused.text(), "nothing was changed");
  assertEquals([await site.records.list(), await site.store.listTags("registry.test/app")], [[], undefined]);
  await Deno.remove(`${log.path}/audit.ndjson`);
  assertEquals((await put()).status, 200);
});

Deno.test("[105] the page logs changes of packages, images, registries and pairings", async () => {
  await using log = await TestFolder.create();
  await using page = await createPageFixture({ audit: new AuditLog(log.path) });
  const send = async (method: string, path: string, body?: string) => {
    const request = new Request(`http://192.168.1.20:36060/api/${path}`, {
      method,
      headers: AUTH,
      ...(body === undefined ? {} : { body }),
    });
    return await (await page.handler(request, REMOTE)).json();
  };
  await send("POST", "packages/web/rollback?to=1.0.0");
  await send("DELETE", "packages/web?dry-run");
  await send("DELETE", "packages/web?namespace=shop");
  await send("DELETE", "images?image=registry.lan/pinned");
  await send("PUT", "registries/registry.lan", '{"password":"secret"}');
  const { code } = await send("POST", "codes");
  await send("POST", "session", JSON.stringify({ code }));
  await send("POST", "session", JSON.stringify({ code }));
  const lines = await readLines(log.path);
  const { address } = lines[0]!.by as { address: string };
  assertEquals(address, REMOTE.remoteAddress);
  const ends = lines.filter(({ phase }) => phase === "end");
  assertEquals(
    ends.map(({ action, name, host, image, result }) => [action, name ?? host ?? image, result]),
    [
      ["rollback", "web", "done"],
      ["removal", "web", "done"],
      ["image-removal", "registry.lan/pinned", "refused"],
      ["registry-save", "registry.lan", "done"],
      ["pairing-code", undefined, "done"],
      ["pairing", undefined, "done"],
    ],
  );
  assertEquals(/secret|a-token-of-a-test/.test(JSON.stringify(lines)), false);
});
