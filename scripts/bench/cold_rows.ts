import { blobPath } from "../../lib/store/layout.ts";
import { type Distribution, startDistribution } from "../../tests/support/distribution.ts";
import type { Bench } from "./bench.ts";
import { type BenchImage, HOST } from "./content.ts";
import { download } from "./download.ts";
import { type Measurement, measureServer } from "./measure.ts";
import { cpuSecondsOf, peakMemoryOf } from "./process_stat.ts";
import { removeAll } from "./program.ts";
import { DISTRIBUTION, type PeerServer } from "./registries.ts";
import { createBar, createMemoryBars, createRatioBars, type Row } from "./row.ts";
import { type Contender, createSeries, measureInTurns } from "./samples.ts";

const MIB = 2 ** 20;
const CLIENTS = 32;
const MEMORY_MIB = 128;

/** A program that can be started as a pull-through cache of an upstream, with an empty store. */
interface Cache {
  readonly name: string;
  readonly start: (upstream: string, dataDir: string) => Promise<PeerServer>;
  /** The name of the image's repository. */
  readonly pathOf: (image: BenchImage) => string;
  /** Whether its data folder has CNCF distribution's layout. */
  readonly hasLayout: boolean;
}

/** A cache that is running. */
interface RunningCache {
  readonly pid: number;
  /** Pulls the layer of the image as one or several clients. */
  pull(clients?: number): Promise<Required<Measurement>>;
  /** Waits until the layer is in its store. */
  waitUntilStored(): Promise<void>;
}

/** P3: one client pulls a blob that is only at the upstream. */
export async function measureColdPull(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, large }, options: { rounds } } = bench;
  if (!bench.has("curl", "docker-registry")) return [];
  await using upstream = await startDistribution({ dataDir });
  const stored = new Map<string, Measurement[]>();
  const contenders = listCaches(bench).map((cache): Contender => ({
    name: cache.name,
    measure: () =>
      withCache(bench, { cache, upstream, image: large }, async (running) => {
        const before = cpuSecondsOf(running.pid);
        const pulled = await running.pull();
        if (!cache.hasLayout) return pulled;
        const answered = performance.now();
        await running.waitUntilStored();
        const samples = stored.get(cache.name) ?? [];
        samples.push({
          figure: pulled.figure + (performance.now() - answered) / 1000,
          cpu: cpuSecondsOf(running.pid) - before,
          peak: peakMemoryOf(running.pid),
        });
        stored.set(cache.name, samples);
        return pulled;
      }),
  }));
  const direct = () => pull(upstream, `${upstream.url}/v2/${large.path}`, { image: large });
  const series = await measureInTurns(rounds, [...contenders, { name: "the upstream itself", measure: direct }]);
  const work = `cold pull-through of ${Math.round(large.layer.size / MIB)} MiB by one client`;
  const whole = [...stored].map(([name, samples]) => createSeries(name, samples));
  return [
    {
      id: "P3",
      work: `${work}, until it has the last byte`,
      unit: "s",
      series,
      bars: createRatioBars(series, { of: "crpe", to: DISTRIBUTION, sense: "at most", limit: 1.5 }),
      notes: [],
    },
    {
      id: "P3",
      work: `${work}, until the cache has the blob`,
      unit: "s",
      series: whole,
      bars: [
        ...createRatioBars(whole, { of: "crpe", to: DISTRIBUTION, sense: "at most", limit: 1 }),
        ...createRatioBars(whole, { of: "crpe", to: DISTRIBUTION, sense: "at most", limit: 0.6, figure: "cpu" }),
      ],
      notes: ["distribution asks its upstream twice, once for the client and once for its store"],
    },
  ];
}

/** P4: many concurrent clients pull a blob that is only at the upstream. */
export async function measureManyClients(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, small }, options: { rounds } } = bench;
  if (!bench.has("curl", "docker-registry")) return [];
  await using upstream = await startDistribution({ dataDir });
  const warm: Measurement[] = [];
  const bytes = new Map<string, Measurement[]>();
  const contenders = listCaches(bench).map((cache): Contender => ({
    name: cache.name,
    measure: () =>
      withCache(bench, { cache, upstream, image: small }, async (running) => {
        const before = await sentBytes(upstream, small);
        const cold = await running.pull(CLIENTS);
        if (cache.hasLayout) await running.waitUntilStored();
        const fetched = (await sentBytes(upstream, small) - before) / small.layer.size;
        bytes.set(cache.name, [...bytes.get(cache.name) ?? [], { figure: fetched }]);
        if (cache.name === "crpe") warm.push(await running.pull(CLIENTS));
        return cold;
      }),
  }));
  const measured = await measureInTurns(rounds, contenders);
  const what = `cold pull-through of ${Math.round(small.layer.size / MIB)} MiB by ${CLIENTS} concurrent clients`;
  const asked = [...bytes].map(([name, samples]) => createSeries(name, samples));
  const times = [...measured, createSeries("crpe, when it has the blob", warm)];
  return [
    {
      id: "P4",
      work: what,
      unit: "upstream bytes / unique bytes",
      series: asked.toSorted((a, b) => measured.findIndex(isNamed(a)) - measured.findIndex(isNamed(b))),
      bars: [createBar("crpe", asked.find(isNamed({ name: "crpe" }))!.max, { sense: "at most", limit: 1 })],
      notes: ["counted in the upstream's access log; the bar is for the worst round"],
    },
    {
      id: "P4",
      work: what,
      unit: "s",
      series: times,
      bars: [
        ...createRatioBars(times, { of: "crpe", to: times.at(-1)!.name, sense: "at most", limit: 1.15 }),
        ...createRatioBars(times, { of: "crpe", to: DISTRIBUTION, sense: "at most", limit: 1 }),
        ...createMemoryBars(times, MEMORY_MIB),
      ],
      notes: [],
    },
  ];
}

function isNamed({ name }: { readonly name: string }): (other: { readonly name: string }) => boolean {
  return (other) => other.name === name;
}

function listCaches(bench: Bench): Cache[] {
  return [
    {
      name: "crpe",
      start: (upstream, dataDir) => bench.startCrpe([`--data=${dataDir}`, `--upstream=${HOST}=${upstream}`]),
      pathOf: ({ repo }) => repo,
      hasLayout: true,
    },
    ...bench.registries.map(({ name, startProxy, serve }): Cache => ({
      name,
      start: startProxy,
      pathOf: ({ path }) => path,
      hasLayout: serve !== undefined,
    })),
  ];
}

function pull(
  { pid }: { readonly pid: number },
  repository: string,
  { image: { layer }, clients = 1 }: { readonly image: BenchImage; readonly clients?: number },
): Promise<Required<Measurement>> {
  return measureServer(pid, () => download(`${repository}/blobs/${layer.digest}`, layer.size, clients));
}

/** Runs `measure` on a cache with an empty store. */
async function withCache(
  bench: Bench,
  { cache, upstream, image }: { cache: Cache; upstream: Distribution; image: BenchImage },
  measure: (running: RunningCache) => Promise<Measurement>,
): Promise<Measurement> {
  const dataDir = bench.newPath("cold");
  try {
    await using server = await cache.start(upstream.url, dataDir);
    return await measure({
      pid: server.pid,
      pull: (clients = 1) => pull(server, `${server.url}/v2/${cache.pathOf(image)}`, { image, clients }),
      waitUntilStored: () => waitUntilStored(cache.name, `${dataDir}/${blobPath(image.layer.digest)}`, image),
    });
  } finally {
    await removeAll(dataDir);
  }
}

async function waitUntilStored(name: string, file: string, { layer }: BenchImage): Promise<void> {
  for (let tries = 0; tries < 6000; tries++) {
    try {
      if ((await Deno.stat(file)).size === layer.size) return;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Cannot measure ${name}: it did not store the blob within a minute`);
}

/** Counts the bytes of a layer that a registry has sent so far. */
async function sentBytes(registry: Distribution, { layer }: BenchImage): Promise<number> {
  // The registry writes the log line after the response.
  await new Promise((resolve) => setTimeout(resolve, 300));
  let sum = 0;
  for (const line of registry.log().split("\n")) {
    if (!line.includes("response completed") || !line.includes(layer.digest)) continue;
    sum += Number(/http\.response\.written=(\d+)/.exec(line)?.[1] ?? 0);
  }
  return sum;
}
