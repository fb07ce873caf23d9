import { Gauges, type StoreTotals } from "../../../../lib/cli/serving/gauges.ts";
import { Metrics } from "../../../../lib/cli/serving/metrics.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

Deno.test("[108] the metrics show the crpes that are found at present", async () => {
  const metrics = new Metrics();
  let hosts: string[] | undefined;
  const options = {
    ...{ metrics, root: "/nonexistent", bucket: {}, countTransfers: () => 0 },
    freeBytes: () => Promise.resolve(1),
  };
  const read = async (gauges: Gauges) => {
    await gauges.read();
    return metrics.format().match(/^crpe_found.*$/gm);
  };
  assertEquals(await read(new Gauges(options)), null);
  const gauges = new Gauges({ ...options, listPeers: () => hosts ?? [] });
  assertEquals(await read(gauges), ["crpe_found_peers 0"]);
  hosts = ["10.0.0.1:6060", "10.0.0.2:6060"];
  const lines = hosts.map((host) => `crpe_found_peer{host="${host}"} 1`);
  assertEquals(await read(gauges), ["crpe_found_peers 2", ...lines]);
  hosts = hosts.slice(1);
  assertEquals(await read(gauges), ["crpe_found_peers 1", lines[1]!]);
});

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
