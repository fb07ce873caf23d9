import { ApiTokens } from "../../../../lib/agent/check_token.ts";
import type { Invocation } from "../../../../lib/cli/command_line/command.ts";
import { createProcessIo } from "../../../../lib/cli/console/io.ts";
import { Log } from "../../../../lib/cli/serving/log.ts";
import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import type { ServerContext } from "../../../../lib/cli/serving/serve_registry.ts";
import { withPage } from "../../../../lib/cli/serving/with_page.ts";
import { Exchange } from "../../../../lib/server/exchange.ts";
import { DiskStore } from "../../../../lib/store/disk_store.ts";
import { assertEquals } from "../../../support/assert.ts";
import { TestFolder } from "../../../support/test_folder.ts";

/** Creates a registry with the page, without a socket. */
async function createFixture(openToken: () => Promise<string | undefined>) {
  const folder = await TestFolder.create();
  const metrics = new Metrics();
  const lines: string[] = [];
  const io = { ...createProcessIo(), err: (text: string) => void lines.push(text) };
  const log = new Log(io, { format: "text", isVerbose: false });
  const content = { store: new DiskStore(folder.path) };
  const context = { settings: { data: folder.path, config: {} }, content, log, metrics, isReadOnly: false };
  const invocation = { isSet: () => false, flag: () => undefined } as unknown as Invocation;
  const handler = withPage(
    () => new Response("the registry"),
    { invocation, io, context: context as unknown as ServerContext },
    { kind: "registry", node: "n", hostNames: [], openTokens: async () => new ApiTokens(await openToken()) },
  );
  const ask = async (path: string, method = "GET") => {
    const request = new Request(`http://127.0.0.1:36060${path}`, { method });
    const info = {
      remoteAddr: { transport: "tcp" as const, hostname: "127.0.0.1", port: 1 },
      completed: Promise.resolve(),
      localAddress: "127.0.0.1",
    };
    return await handler(request, new Exchange(request, info));
  };
  const readLog = () => {
    log.flush();
    return lines.splice(0).join("");
  };
  return { ask, metrics, readLog, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

Deno.test("any word as the method of a request for the page is counted as other", async () => {
  await using site = await createFixture(() => Promise.resolve("a-token-of-a-test"));
  const statuses: Record<string, number> = {};
  for (const method of ["GET", "BREW", "PURGE", "X-1"]) {
    const { status, body } = await site.ask("/api/access", method);
    await body?.cancel();
    statuses[method] = status;
  }
  assertEquals(statuses, { GET: 200, BREW: 405, PURGE: 405, "X-1": 405 });
  const lines = site.metrics.format().split("\n").filter((line) => line.startsWith("crpe_requests_total{"));
  assertEquals(lines, [
    'crpe_requests_total{kind="page",method="GET",status="200"} 1',
    'crpe_requests_total{kind="page",method="other",status="405"} 3',
  ]);
});

Deno.test("a token file that every user may read is the reason in each answer of the page, until it is mended", async () => {
  const reason = "Cannot use the token file t: every user may read it; chmod 600 it";
  let isMended = false;
  await using site = await createFixture(() => {
    return isMended ? Promise.resolve("a-token-of-a-test") : Promise.reject(new Error(reason));
  });
  const refused = await site.ask("/api/access");
  assertEquals([refused.status, await refused.json()], [503, { errors: [{ code: "UNAVAILABLE", message: reason }] }]);
  const head = await site.ask("/api/access", "HEAD");
  assertEquals([head.status, head.body], [503, null]);
  assertEquals(await (await site.ask("/v2/")).text(), "the registry");
  assertEquals(site.readLog().match(/error: the page: Cannot use the token file t/g)?.length, 2);
  isMended = true;
  const answer = await site.ask("/api/access");
  assertEquals(answer.status, 200);
  await answer.body?.cancel();
});
