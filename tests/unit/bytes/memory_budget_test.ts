import { MemoryBudget } from "../../../lib/bytes/memory_budget.ts";
import { assert, assertEquals } from "../../support/assert.ts";

const KiB = 1024;

Deno.test("[88] MemoryBudget counts a response with what the runtime has of it in memory, until it is sent", () => {
  const budget = new MemoryBudget(200 * KiB);
  const small = budget.takeResponse(10 * KiB);
  const large = budget.takeResponse(2 ** 40);
  const unknown = budget.takeResponse();
  assertEquals(budget.used, 170 * KiB);
  assertEquals(budget.takeResponse(2 ** 20), undefined);
  for (const lease of [small, large, large, unknown]) lease![Symbol.dispose]();
  assertEquals(budget.used, 0);
});

Deno.test("[88] MemoryBudget counts bytes that several responses send once", () => {
  const budget = new MemoryBudget(100 * KiB);
  const bytes = new Uint8Array(80 * KiB);
  const leases = [budget.takeShared(bytes), budget.takeShared(bytes), budget.takeShared(bytes.subarray(10))];
  assertEquals([budget.used, budget.takeShared(new Uint8Array(80 * KiB))], [80 * KiB, undefined]);
  for (const lease of leases) {
    assertEquals(budget.used, 80 * KiB);
    lease![Symbol.dispose]();
  }
  assertEquals(budget.used, 0);
});

Deno.test("[88] MemoryBudget.wait() asks for memory to be freed, and takes it then", async () => {
  const budget = new MemoryBudget(100);
  const before = budget.take(100)!;
  budget.onShortage = () => before[Symbol.dispose]();
  const lease = await budget.wait(() => budget.take(60));
  assert(lease !== undefined);
  assertEquals(budget.used, 60);
});
