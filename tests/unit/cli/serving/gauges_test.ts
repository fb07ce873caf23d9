import { Gauges, type StoreTotals } from "../../../../lib/cli/serving/gauges.ts";
import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("Gauges starts no second scan of the store while one is running, also when it takes longer than its period", async () => {
  const metrics = new Metrics();
  let [now, scans] = [0, 0];
  let running = Promise.withResolvers<StoreTotals>();
  const gauges = new Gauges({
    metrics,
    root: "/nonexistent",
    freeBytes: () => Promise.resolve(1),
    countTransfers: () => 0,
    now: () => now,
    measure: () => {
      scans++;
      return running.promise;
    },
  });
  const settle = async () => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  for (now of [0, 1000, 400_000, 800_000]) await gauges.read();
  assertEquals(scans, 1);
  running.resolve({ blobs: 2, bytes: 30, images: 1 });
  await settle();
  assert(metrics.format().includes("crpe_store_bytes 30\n"));
  await gauges.read();
  assertEquals(scans, 1, "the period begins with the end of a scan");
  // One that fails is repeated after the same time.
  running = Promise.withResolvers();
  now += 301_000;
  await gauges.read();
  running.reject(new Error("denied"));
  await settle();
  await gauges.read();
  assertEquals(scans, 2);
  now += 301_000;
  running = Promise.withResolvers();
  await gauges.read();
  assertEquals(scans, 3);
});
