import { modelNames } from "../../../lib/delta/models/all.ts";
import { CoalescedResponses } from "../../../lib/agent/coalesced_responses.ts";
import { createAgentHandlerFixture } from "../../support/agent_handler_fixture.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";

Deno.test("CoalescedResponses runs one computation at a time, which starts after the request that it answers", async () => {
  const shared = new CoalescedResponses();
  const gates = Array.from({ length: 3 }, () => Promise.withResolvers<void>());
  let [begun, running, most] = [0, 0, 0];
  let state = "before";
  const find = async () => {
    const gate = gates[begun++]!;
    most = Math.max(most, ++running);
    const seen = state;
    await gate.promise;
    running--;
    return seen;
  };
  const first = shared.answer("a", find);
  state = "after";
  const others = Array.from({ length: 100 }, () => shared.answer("a", find));
  for (const gate of gates) gate.resolve();
  assertEquals(await (await first).json(), "before");
  for (const other of others) assertEquals(await (await other).json(), "after");
  assertEquals([begun, most], [2, 1]);
});

Deno.test("CoalescedResponses rejects all waiting requests after a failure, and computes the next answer again", async () => {
  const shared = new CoalescedResponses();
  const fail = () => Promise.reject(new Error("the disk is gone"));
  const asked = [shared.answer("a", fail), shared.answer("a", fail)];
  for (const answer of asked) await assertRejects(() => answer, Error, "the disk is gone");
  const answer = await shared.answer("a", () => Promise.resolve("x".repeat(300_000)));
  assertEquals(Number(answer.headers.get("content-length")), 300_003);
  assertEquals(await answer.json(), "x".repeat(300_000));
});

Deno.test("[58] GET /inventory lists the store once for concurrent requests", async () => {
  let [running, most, counted] = [0, 0, 0];
  await using site = await createAgentHandlerFixture({
    listInventory: async () => {
      counted++;
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 5));
      running--;
      return [];
    },
  });
  const answers = await Promise.all(Array.from({ length: 50 }, () => site.ask("/inventory")));
  for (const answer of answers) assertEquals(await answer.json(), { digests: [], models: modelNames() });
  assertEquals(most, 1);
  assert(counted <= 2, `${counted}`);
});
