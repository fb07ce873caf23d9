import { type Fleet, replicasFor, requestsPerPull, simulateStart } from "../../../scripts/scale/fleet_model.ts";
import { assertEquals } from "../../support/assert.ts";

const GB = 1e9;
const FREE = { cpuPerGiB: 0, cpuPerRequest: 0 };
const FLEET: Fleet = {
  nodes: 100,
  startSeconds: 1,
  imagesPerNode: 10,
  imageBytes: 0.1 * GB,
  layers: 6,
  images: 30,
  nodeRate: 0.1 * GB,
  replicas: 1,
  replicaRate: GB,
  replicaConnections: 3000,
};

// 100 nodes pull 1 GB each: 100 GB.
const STARTS: readonly [what: string, fleet: Partial<Fleet>, seconds: number, peakWaiting: number][] = [
  ["the link of one registry is the limit", {}, 100, 0],
  ["two registries take half of the time", { replicas: 2 }, 50, 0],
  ["the links of the nodes are the limit", { replicas: 100 }, 10, 0],
  ["connections for 20 nodes, which wait and are served at the same pace", { replicaConnections: 60 }, 100, 80],
  ["connections for 5 nodes, whose links are then the limit", { replicaConnections: 15 }, 200, 95],
  ["nodes that start within 200 seconds do not wait", { startSeconds: 200 }, 208, 0],
];
for (const [what, fleet, seconds, peakWaiting] of STARTS) {
  Deno.test(`simulateStart(): ${what}`, () => {
    const start = simulateStart({ ...FLEET, ...fleet }, FREE);
    assertEquals([start.seconds, start.peakWaiting], [seconds, peakWaiting]);
    assertEquals([start.bytes, start.requests], [100 * GB, 100 * 10 * requestsPerPull(6)]);
  });
}

Deno.test("simulateStart(): one thread is the limit where a link is faster", () => {
  // 1 GiB costs 2 CPU seconds, so that 100 GiB take 200.
  const gib = { ...FLEET, imageBytes: 2 ** 30 / 10, replicaRate: 10 * GB };
  assertEquals(Math.round(simulateStart(gib, { cpuPerGiB: 2, cpuPerRequest: 0 }).seconds), 200);
  // 100 nodes send 10 × 10 requests; a CPU second for 1,000 of them adds 10 seconds.
  const start = simulateStart(gib, { cpuPerGiB: 2, cpuPerRequest: 0.001 });
  assertEquals([start.seconds, Math.round(start.cpuSeconds)], [210, 210]);
});

Deno.test("simulateStart() ends at its limit", () => {
  assertEquals(simulateStart(FLEET, FREE, 50).seconds, Infinity);
});

const NEEDED: readonly [within: number, replicas: number | undefined][] = [[100, 1], [99, 2], [50, 2], [10, 10], [
  9,
  undefined,
]];
for (const [within, replicas] of NEEDED) {
  Deno.test(`replicasFor() within ${within} seconds: ${replicas}`, () => {
    assertEquals(replicasFor(FLEET, FREE, within), replicas);
  });
}
