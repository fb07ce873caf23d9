import { blobPath } from "../../lib/store/layout.ts";
import { startDistribution } from "../../tests/support/distribution.ts";
import type { Bench } from "./bench.ts";
import { type BenchImage, HOST, TAG } from "./content.ts";
import { download } from "./download.ts";
import { type Measurement, measureServer } from "./measure.ts";
import { startNginx } from "./nginx.ts";
import { DISTRIBUTION, startWarm } from "./registries.ts";
import { type Bar, createMemoryBars, createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns, type Series } from "./samples.ts";
import { type Server, startServer } from "./server.ts";
import { CONNECTIONS, runWrk } from "./wrk.ts";

const MIB = 2 ** 20;
const CLIENTS = 32;
// 32 clients with the large layer move 16 GiB each time. The bar compares with one peer; the others take part once.
const LARGE_ROUNDS = 2;
const COMPARED = ["crpe", DISTRIBUTION];
const MEMORY_MIB = 128;

type Warm = Pick<Server, "url" | "pid">;

/** P1: GET of a blob in the store. */
export async function measureWarmBlob(bench: Bench): Promise<Row[]> {
  const { content: { large }, options: { rounds } } = bench;
  if (!bench.has("curl")) return [];
  const size = large.layer.size / MIB;
  const series = await measureBlob(bench, { image: large, rounds }, async (url, { pid }) => {
    const measured = await measureServer(pid, () => download(url, large.layer.size));
    return { ...measured, figure: size / measured.figure };
  });
  return [{
    id: "P1",
    work: `warm blob GET, ${Math.round(size)} MiB`,
    unit: "MiB/s",
    series,
    bars: createRatioBars(series, { of: "crpe", to: DISTRIBUTION, sense: "at least", limit: 1 }),
    notes: [],
  }];
}

/** P9: many concurrent clients GET a blob in the store. */
export async function measureFanOut(bench: Bench): Promise<Row[]> {
  const { content: { small, large }, options: { rounds } } = bench;
  if (!bench.has("curl")) return [];
  const rows: Row[] = [];
  for (const image of large.layer.size > small.layer.size ? [small, large] : [small]) {
    const { size } = image.layer;
    const isLarge = image === large;
    const times = isLarge ? Math.min(rounds, LARGE_ROUNDS) : rounds;
    const maxRounds = (name: string) => isLarge && !COMPARED.includes(name) ? 1 : undefined;
    const series = await measureBlob(bench, { image, rounds: times, maxRounds }, (url, { pid }) => {
      return measureServer(pid, () => download(url, size, CLIENTS));
    });
    const compare = (limit: number, figure?: "cpu"): Bar[] =>
      createRatioBars(series, { of: "crpe", to: DISTRIBUTION, sense: "at most", limit, figure });
    rows.push({
      id: "P9",
      work: `warm blob GET by ${CLIENTS} concurrent clients, ${Math.round(size / MIB)} MiB`,
      unit: "s",
      series,
      bars: [...compare(0.8), ...compare(0.7, "cpu"), ...createMemoryBars(series, MEMORY_MIB)],
      notes: isLarge && rounds > 1 ? [`two rounds of crpe and ${DISTRIBUTION}, one of the others`] : [],
    });
  }
  return rows;
}

/** Measures all servers that have a blob. One request to each before the rounds loads what they read into memory. */
async function measureBlob(
  bench: Bench,
  { image: { path, repo, layer }, rounds, maxRounds = () => undefined }: {
    readonly image: BenchImage;
    readonly rounds: number;
    readonly maxRounds?: (name: string) => number | undefined;
  },
  measure: (url: string, server: Warm) => Promise<Measurement>,
): Promise<Series[]> {
  const { dataDir } = bench.content;
  await using servers = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const add = async (name: string, url: string, server: Warm) => {
    await download(url, layer.size);
    contenders.push({ name, measure: () => measure(url, server), maxRounds: maxRounds(name) });
  };
  const crpe = servers.use(await bench.startCrpe([`--data=${dataDir}`, "--offline"]));
  await add("crpe", `${crpe.url}/v2/${repo}/blobs/${layer.digest}`, crpe);
  let upstream: string | undefined;
  for (const registry of bench.registries) {
    const server = await startWarm(bench, registry, upstream);
    if (server === undefined) continue;
    servers.use(server);
    upstream ??= server.url;
    await add(registry.name, `${server.url}/v2/${path}/blobs/${layer.digest}`, server);
  }
  if (bench.has("nginx")) {
    const nginx = servers.use(await startNginx(dataDir, bench.newPath("nginx")));
    await add("nginx sendfile", `${nginx.url}${layer.file.slice(dataDir.length)}`, nginx);
  }
  return await measureInTurns(rounds, contenders);
}

/** P2: GET of a manifest in the store by its tag. */
export async function measureWarmManifest(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, large: { path, repo, manifest } }, options } = bench;
  if (!bench.has("wrk", "docker-registry")) return [];
  await using servers = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const add = async (name: string, url: string, { pid }: Warm) => {
    await runWrk(url, pid);
    contenders.push({ name, measure: () => runWrk(url, pid) });
  };
  const distribution = servers.use(await startDistribution({ dataDir }));
  const upstream = `--upstream=${HOST}=${distribution.url}`;
  const addCrpe = async (name: string, args: readonly string[], logFile?: string) => {
    const crpe = servers.use(await startServer((port) => bench.registryCommand(port, args), logFile));
    await add(name, `${crpe.url}/v2/${repo}/manifests/${TAG}`, crpe);
  };
  await addCrpe("crpe, without a log", [`--data=${bench.newPath("manifest")}`, upstream, "--quiet"]);
  await addCrpe("crpe, its log in a file", [`--data=${bench.newPath("manifest")}`, upstream], bench.newPath("log"));
  await addCrpe("crpe, without a log, offline", [`--data=${dataDir}`, "--offline", "--quiet"]);
  for (const registry of bench.registries) {
    const server = await startWarm(bench, registry, distribution.url);
    if (server === undefined) continue;
    servers.use(server);
    await add(registry.name, `${server.url}/v2/${path}/manifests/${TAG}`, server);
  }
  const file = `${dataDir}/${blobPath(manifest.digest)}`;
  const constant = servers.use(
    await startServer((port) => [...options.constantServer, String(port), file, manifest.mediaType]),
  );
  await add("Deno.serve of a constant", `${constant.url}/`, constant);
  const series = await measureInTurns(options.rounds, contenders);
  const bars = series.filter(({ name }) => name.startsWith("crpe")).flatMap(({ name: of }) => {
    return createRatioBars(series, { of, to: DISTRIBUTION, sense: "at least", limit: 15 })
      .map((bar) => ({ ...bar, what: `${of}: ${bar.what}` }));
  });
  const work = `warm manifest GET by tag, ${CONNECTIONS} connections`;
  return [{ id: "P2", work, unit: "requests/s", cpuFor: "10,000 requests", series, bars, notes: [] }];
}
