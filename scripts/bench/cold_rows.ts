import { blobPath } from "../../lib/store/layout.ts";
import { type Distribution, startDistribution } from "../../tests/support/distribution.ts";
import type { Bench } from "./bench.ts";
import { type BenchImage, HOST } from "./content.ts";
import { download } from "./download.ts";
import { removeAll, timeWork } from "./program.ts";
import { createBar, createRatioBars, type Row } from "./row.ts";
import { createSeries, measureInTurns } from "./samples.ts";

const MIB = 2 ** 20;
const CLIENTS = 32;
const PROXY = "distribution as proxy";

/** P3: one client pulls a blob that is only at the upstream. */
export async function measureColdPull(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, large }, options: { rounds } } = bench;
  if (!bench.has("curl", "docker-registry")) return [];
  await using upstream = await startDistribution({ dataDir });
  const stored: number[] = [];
  const series = await measureInTurns(rounds, [
    {
      name: "crpe",
      measure: () => withCrpe(bench, { work: "P3 registry", upstream, image: large }, (url) => pull(url, large)),
    },
    {
      name: PROXY,
      measure: () =>
        withProxy(bench, upstream, async (proxy) => {
          const seconds = await pull(`${proxy.url}/v2/${large.path}`, large);
          const answered = performance.now();
          await waitUntilStored(proxy, large);
          stored.push(seconds + (performance.now() - answered) / 1000);
          return seconds;
        }),
    },
    { name: "the upstream itself", measure: () => pull(`${upstream.url}/v2/${large.path}`, large) },
  ]);
  const until = createSeries(`${PROXY}, until it has the blob`, stored);
  const all = [...series, until];
  return [{
    id: "P3",
    work: `cold pull-through of ${Math.round(large.layer.size / MIB)} MiB by one client`,
    unit: "s",
    series: all,
    bars: [PROXY, until.name].flatMap((to) => createRatioBars(all, { of: "crpe", to, sense: "at most", limit: 1 })),
    notes: [
      "when its client has the blob, crpe has verified it, and syncs it; distribution asks twice, and stores it concurrently",
    ],
  }];
}

/** P4: many concurrent clients pull a blob that is only at the upstream. */
export async function measureManyClients(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, small }, options: { rounds } } = bench;
  if (!bench.has("curl", "docker-registry")) return [];
  await using upstream = await startDistribution({ dataDir });
  const warm: number[] = [];
  const bytes = { crpe: [] as number[], [PROXY]: [] as number[] };
  const fetched = async (name: keyof typeof bytes, work: () => Promise<number>): Promise<number> => {
    const before = await sentBytes(upstream, small);
    const seconds = await work();
    bytes[name].push((await sentBytes(upstream, small) - before) / small.layer.size);
    return seconds;
  };
  const series = await measureInTurns(rounds, [
    {
      name: `crpe, ${CLIENTS} clients cold`,
      measure: () =>
        fetched("crpe", () =>
          withCrpe(bench, { work: "P4 registry", upstream, image: small }, async (url) => {
            const cold = await pull(url, small, CLIENTS);
            warm.push(await pull(url, small, CLIENTS));
            return cold;
          })),
    },
    {
      name: `${PROXY}, ${CLIENTS} clients cold`,
      measure: () =>
        fetched(PROXY, () =>
          withProxy(bench, upstream, async (proxy) => {
            const seconds = await pull(`${proxy.url}/v2/${small.path}`, small, CLIENTS);
            await waitUntilStored(proxy, small);
            return seconds;
          })),
    },
  ]);
  const what = `cold pull-through of ${Math.round(small.layer.size / MIB)} MiB by ${CLIENTS} concurrent clients`;
  const asked = Object.entries(bytes).map(([name, samples]) => createSeries(name, samples));
  const times = [...series, createSeries(`crpe, ${CLIENTS} clients warm`, warm)];
  return [
    {
      id: "P4",
      work: what,
      unit: "upstream bytes / unique bytes",
      series: asked,
      bars: [createBar("crpe", asked[0]!.max, { sense: "at most", limit: 1 })],
      notes: ["counted in the upstream's access log; the bar is for the worst round"],
    },
    {
      id: "P4",
      work: what,
      unit: "s",
      series: times,
      bars: createRatioBars(times, { of: times[0]!.name, to: times.at(-1)!.name, sense: "at most", limit: 1.5 }),
      notes: [],
    },
  ];
}

function pull(repository: string, { layer }: BenchImage, clients = 1): Promise<number> {
  return timeWork(() => download(`${repository}/blobs/${layer.digest}`, layer.size, clients));
}

/** Runs `measure` with the URL of the image's repository on a crpe with an empty store. */
async function withCrpe(
  bench: Bench,
  { work, upstream, image }: { work: string; upstream: Distribution; image: BenchImage },
  measure: (url: string) => Promise<number>,
): Promise<number> {
  const data = bench.newPath("cold");
  try {
    await using crpe = await bench.startCrpe(work, [`--data=${data}`, `--upstream=${HOST}=${upstream.url}`]);
    return await measure(`${crpe.url}/v2/${image.repo}`);
  } finally {
    await removeAll(data);
  }
}

async function withProxy(
  bench: Bench,
  upstream: Distribution,
  measure: (proxy: Distribution) => Promise<number>,
): Promise<number> {
  const dataDir = bench.newPath("cold");
  try {
    await using proxy = await startDistribution({ proxyRemote: upstream.url, dataDir });
    return await measure(proxy);
  } finally {
    await removeAll(dataDir);
  }
}

async function waitUntilStored({ dataDir }: Distribution, { layer }: BenchImage): Promise<void> {
  for (let tries = 0; tries < 6000; tries++) {
    try {
      if ((await Deno.stat(`${dataDir}/${blobPath(layer.digest)}`)).size === layer.size) return;
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error("Cannot measure distribution as proxy: it did not store the blob within a minute");
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
