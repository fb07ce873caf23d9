import { blobPath } from "../../lib/store/layout.ts";
import type { Digest } from "../../lib/oci/digest.ts";
import type { Bench } from "./bench.ts";
import { HOST } from "./content.ts";
import { type Measurement, measurePrograms, measureServer } from "./measure.ts";
import { cpuSecondsOf, peakMemoryOf } from "./process_stat.ts";
import { removeAll, runProgram } from "./program.ts";
import { type PeerRegistry, startTimed } from "./registries.ts";
import { type Bar, createMemoryBars, createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns, type Series } from "./samples.ts";
import { type Server, startServer } from "./server.ts";
import { StoreWriter } from "./store_writer.ts";

const TEAMS = 200;
// Every 100 images have a layer in common.
const SHARING = 100;
const TAGS = 1000;
const TAGGED = "many-tags";
const GARBAGE = 1000;
const PAGE = 100;
const PAGES = 100;
const MEMORY_MIB = 128;
const IDLE_MILLISECONDS = 500;
// How many times as many images the large store has as the small one, which shows what does not grow with the store.
const SCALE = 10;
const START_ROUNDS = 3;

/** P10: a store of many images: starting a server on it, its lists, and the commands that walk over it. */
export async function measureLargeStore(bench: Bench): Promise<Row[]> {
  const { images, rounds } = bench.options;
  const writer = writeStore(bench.newPath("many"), images);
  const { dataDir } = writer;
  const small = { images: Math.max(1, Math.floor(images / SCALE)), dataDir: bench.newPath("few") };
  writeStore(small.dataDir, small.images);
  const stores = [{ images, dataDir, name: CRPE }, { ...small, name: `crpe, ${small.images} images` }] as const;
  const row = (work: string, unit: Row["unit"], { series, bars, notes = [] }: Findings): Row => {
    return { id: "P10", work: `${images} images: ${work}`, unit, series, bars, notes };
  };
  const rows = [
    row("start to the first answer", "ms", await measureStarts(bench, stores)),
    row("first page of _catalog", "ms", await measureList(bench, stores, () => `_catalog?n=${PAGE}`)),
    row("a page of _catalog in the middle", "ms", await measureList(bench, stores, middlePage)),
    row(`a page of a list of ${TAGS} tags`, "ms", await measureList(bench, stores, () => TAG_PAGE)),
  ];
  for (const words of [["images"], ["inventory"], ["verify"]]) {
    rows.push(row(words.join(" "), "s", await measureCommand(bench, dataDir, words)));
  }
  const compared = bench.registries.filter(({ serve }) => serve !== undefined);
  const first = compared.slice(0, 1);
  rows.push(row("gc --dry-run", "s", await measureCollection(bench, writer, { isDryRun: true, compared: first })));
  rows.push(row(`gc of ${GARBAGE} blobs`, "s", await measureCollection(bench, writer, { isDryRun: false, compared })));
  await removeAll(dataDir, small.dataDir);
  return rows.map((each) => rounds > 1 && each.unit === "s" ? { ...each, notes: [...each.notes, "one round"] } : each);
}

const CRPE = "crpe";

/** A store, and the name of crpe with it. The first one is the large store, which the peers have too. */
interface SizedStore {
  readonly images: number;
  readonly dataDir: string;
  readonly name: string;
}

function writeStore(dataDir: string, images: number): StoreWriter {
  const writer = new StoreWriter(dataDir);
  for (let at = 0; at < images; at++) {
    const layers = [`shared ${Math.floor(at / SHARING)} `.repeat(SHARING), `layer ${at} `.repeat(100)];
    writer.image(repositoryOf(at), layers, ["1"]);
  }
  const tags = Array.from({ length: TAGS }, (_, at) => `v${at}`);
  writer.image(TAGGED, ["tagged"], tags);
  return writer;
}

interface Findings {
  readonly series: readonly Series[];
  readonly bars: readonly Bar[];
  readonly notes?: readonly string[];
}

const TAG_PAGE = `${HOST}/${TAGGED}/tags/list?n=${PAGE}`;

function repositoryOf(at: number): string {
  return `team${at % TEAMS}/app${at}`;
}

function middlePage(images: number): string {
  return `_catalog?n=${PAGE}&last=${encodeURIComponent(`${HOST}/${repositoryOf(Math.floor(images / 2))}`)}`;
}

/** Measures the time to the first answer, and what the process has used when it is idle. */
async function measureStarts(bench: Bench, [large, small]: readonly [SizedStore, SizedStore]): Promise<Findings> {
  const start = (name: string, command: (port: number) => readonly string[]): Contender => ({
    name,
    measure: async () => {
      await using server = await startServer(command);
      const cpu = await waitUntilIdle(server.pid);
      return { figure: server.startTime, cpu, peak: peakMemoryOf(server.pid) };
    },
  });
  const crpe = (name: string, data: string, args: readonly string[] = []) =>
    start(name, (port) => bench.registryCommand(port, [`--data=${data}`, "--offline", "--quiet", ...args]));
  const limited = ["--cache-max=1TiB"];
  const [of, to] = [large.name, "crpe, an empty store"];
  const series = await measureInTurns(Math.min(bench.options.rounds, START_ROUNDS), [
    crpe(of, large.dataDir),
    crpe(small.name, small.dataDir),
    crpe(to, bench.newPath("empty")),
    crpe(`${of}, with a cache limit`, large.dataDir, limited),
    crpe(`${small.name}, with a cache limit`, small.dataDir, limited),
    ...bench.registries.flatMap(({ name, serve }): Contender[] => {
      if (serve === undefined) return [];
      const measure = async () => {
        await using server = await startTimed(() => serve(large.dataDir));
        return { figure: server.startTime, cpu: await waitUntilIdle(server.pid), peak: peakMemoryOf(server.pid) };
      };
      return [{ name, measure }];
    }),
  ]);
  return {
    series,
    bars: [
      ...createRatioBars(series, { of, to, sense: "at most", limit: 1.25 }),
      ...createRatioBars(series, { of, to: small.name, sense: "at most", limit: 1.25, figure: "cpu" }),
      ...createMemoryBars(series, MEMORY_MIB),
    ],
    notes: ["CPU time and memory until the server is idle"],
  };
}

// Returns the CPU time that a process has used by the time that it has stopped using any.
async function waitUntilIdle(pid: number): Promise<number> {
  for (let used = -1;;) {
    const now = cpuSecondsOf(pid);
    if (now - used <= 0.02) return now;
    used = now;
    await new Promise((resolve) => setTimeout(resolve, IDLE_MILLISECONDS));
  }
}

/** Measures requests for a page of a list, in milliseconds each. @param pageOf returns the page for a number of images */
async function measureList(
  bench: Bench,
  stores: readonly [SizedStore, SizedStore],
  pageOf: (images: number) => string,
): Promise<Findings> {
  await using servers = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const [large, small] = stores;
  const add = async (name: string, { url, pid }: Pick<Server, "url" | "pid">, page: string) => {
    const get = async () => {
      const response = await fetch(`${url}/v2/${page}`);
      const { length } = Object.values(await response.json()).find(Array.isArray) ?? [];
      // Not the number: distribution 2.8 sends all tags, whatever `n` is.
      if (!response.ok || !length) throw new Error(`Cannot list ${page}: ${response.status}`);
    };
    await get();
    const measure = async (): Promise<Measurement> => {
      const measured = await measureServer(pid, async () => {
        for (let count = 0; count < PAGES; count++) await get();
      });
      return { ...measured, figure: measured.figure * 1000 / PAGES };
    };
    contenders.push({ name, measure });
  };
  for (const { name, dataDir, images } of stores) {
    await add(name, servers.use(await bench.startCrpe([`--data=${dataDir}`, "--offline"])), pageOf(images));
  }
  for (const { name, serve } of bench.registries) {
    if (serve !== undefined) await add(name, servers.use(await serve(large.dataDir)), pageOf(large.images));
  }
  const series = await measureInTurns(bench.options.rounds, contenders);
  const bars = [
    ...bench.registries.flatMap(({ name: to }) =>
      createRatioBars(series, { of: CRPE, to, sense: "at most", limit: 2 })
    ),
    ...createRatioBars(series, { of: CRPE, to: small.name, sense: "at most", limit: 1.25, figure: "cpu" }),
  ];
  return { series, bars, notes: [`CPU time for ${PAGES} pages`] };
}

/** Measures a command that no peer has. */
async function measureCommand(bench: Bench, dataDir: string, words: readonly string[]): Promise<Findings> {
  const measure = () => measurePrograms(() => bench.runCrpe([...words, `--data=${dataDir}`]));
  const series = await measureInTurns(1, [{ name: `crpe ${words.join(" ")}`, measure }]);
  return { series, bars: createMemoryBars(series, MEMORY_MIB), notes: ["no peer has such a command"] };
}

/** Measures the removal of blobs that nothing refers to, which are written before each run. */
async function measureCollection(
  bench: Bench,
  writer: StoreWriter,
  { isDryRun, compared }: { readonly isDryRun: boolean; readonly compared: readonly PeerRegistry[] },
): Promise<Findings> {
  const { dataDir } = writer;
  const run = (collect: () => Promise<unknown>) => async () => {
    const garbage = Array.from({ length: GARBAGE }, (_, at) => writer.blob(`garbage ${at}`).digest);
    const measured = await measurePrograms(collect);
    const left = garbage.filter((digest) => isStored(dataDir, digest)).length;
    if (left !== (isDryRun ? GARBAGE : 0)) throw new Error(`Cannot measure gc: ${left} of ${GARBAGE} blobs are left`);
    return measured;
  };
  const options = isDryRun ? ["--dry-run"] : [];
  const crpe = run(() => bench.runCrpe(["gc", ...options, `--data=${dataDir}`]));
  const config = bench.newPath("gc.yml");
  await Deno.writeTextFile(
    config,
    JSON.stringify({ version: "0.1", storage: { filesystem: { rootdirectory: dataDir } } }),
  );
  const series = await measureInTurns(1, [
    { name: CRPE, measure: crpe },
    ...compared.map(({ name, program }): Contender => ({
      name,
      measure: run(() => runProgram(program, "garbage-collect", ...options, config)),
    })),
  ]);
  const bars = compared.flatMap(({ name: to }) =>
    (["median", "cpu"] as const).flatMap((figure) =>
      createRatioBars(series, { of: CRPE, to, sense: "at most", limit: 0.5, figure })
    )
  );
  return { series, bars: [...bars, ...createMemoryBars(series, MEMORY_MIB)] };
}

function isStored(dataDir: string, digest: Digest): boolean {
  try {
    return Deno.statSync(`${dataDir}/${blobPath(digest)}`).isFile;
  } catch {
    return false;
  }
}
