import { joinChunks } from "../../../lib/bytes/join_chunks.ts";
import { withinTime } from "../../../lib/bytes/within_time.ts";
import { assertEquals, assertRejects } from "../../support/assert.ts";

Deno.test("withinTime() gives the value of a promise, and leaves no timer", async () => {
  assertEquals(await withinTime(Promise.resolve("value"), 60_000), "value");
});

Deno.test("withinTime() gives undefined for a promise that is late", async () => {
  assertEquals(await withinTime(new Promise(() => {}), 0), undefined);
});

Deno.test("withinTime() throws the error of a promise, and leaves no timer", async () => {
  await assertRejects(() => withinTime(Promise.reject(new Error("broken")), 60_000), Error, "broken");
});

Deno.test("joinChunks() copies the chunks in their order", () => {
  const chunks = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)];
  const joined = joinChunks(chunks);
  chunks[0]!.fill(9);
  assertEquals([...joined], [1, 2, 3]);
  assertEquals(joinChunks([]).length, 0);
});
