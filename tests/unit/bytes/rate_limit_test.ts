import { RateLimit } from "../../../lib/bytes/rate_limit.ts";
import { assertEquals } from "../../support/assert.ts";
import { makeBytes } from "../../support/content.ts";

Deno.test("RateLimit passes on the same bytes, as many a second as it may in all streams together", async () => {
  let time = 0;
  const sleep = (milliseconds: number) => Promise.resolve(void (time += milliseconds));
  const limit = new RateLimit(64 * 1024, { now: () => time, sleep });
  const bytes = makeBytes(100_000);
  const open = () => limit.limit(ReadableStream.from([bytes.subarray(0, 70_000), bytes.subarray(70_000)]));
  const read = await Promise.all([new Response(open()).bytes(), new Response(open()).bytes()]);
  assertEquals(read.every((it) => it.length === bytes.length && it.every((byte, i) => byte === bytes[i])), true);
  // The last piece need not be waited for.
  const least = (200_000 - 4096) / (64 * 1024) * 1000;
  assertEquals([time >= least, time <= least + 200], [true, true], `${time} of ${least}`);
});

Deno.test("RateLimit passes the cancellation of a stream on", async () => {
  let reason: unknown;
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new Uint8Array(10)),
    cancel: (given) => void (reason = given),
  });
  const limited = new RateLimit(1000, { sleep: () => Promise.resolve() }).limit(source);
  const reader = limited.getReader();
  await reader.read();
  await reader.cancel("enough");
  assertEquals(reason, "enough");
});
