import { LoopGuard } from "../../../../lib/cli/serving/loop_guard.ts";
import type { Exchange } from "../../../../lib/server/exchange.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";

const EXCHANGE = {} as Exchange;

Deno.test("[75] LoopGuard passes on the instances that the request being answered has passed", async () => {
  const guard = new LoopGuard("a");
  const handler = guard.wrap(async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return new Response(guard.via());
  });
  const ask = async (via?: string) => {
    const headers: Record<string, string> = via === undefined ? {} : { via };
    return await (await handler(new Request("http://a.test/v2/", { headers }), EXCHANGE)).text();
  };
  assertEquals(await Promise.all([ask(), ask("1.1 crpe-b"), ask("1.1 crpe-c")]), [
    "1.1 crpe-a",
    "1.1 crpe-b, 1.1 crpe-a",
    "1.1 crpe-c, 1.1 crpe-a",
  ]);
});

for (const method of ["GET", "HEAD"]) {
  Deno.test(`[75] LoopGuard answers its own ${method} with 508 before it does anything`, async () => {
    let handled = 0;
    const refused: unknown[] = [];
    const handler = new LoopGuard("a").wrap(() => new Response(String(handled++)), (it) => refused.push(it));
    const request = new Request("http://a.test/v2/", { method, headers: { via: "1.1 crpe-a, 1.1 crpe-b" } });
    const response = await handler(request, EXCHANGE);
    assertEquals([response.status, handled, refused], [508, 0, [{ method, status: 508 }]]);
    if (method === "GET") assertStringIncludes(await response.text(), "one of its upstreams leads back to it");
  });
}
