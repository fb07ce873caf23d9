import type { Bench } from "./bench.ts";
import { HOST } from "./content.ts";
import { createBar, type Row } from "./row.ts";
import type { Measurement } from "./measure.ts";
import { cpuSecondsOf, memoryOf, peakMemoryOf } from "./process_stat.ts";
import { type PeerRegistry, type PeerServer, startTimed } from "./registries.ts";
import { type Contender, createSeries, measureInTurns } from "./samples.ts";
import { type Server, startServer } from "./server.ts";

const MIB = 2 ** 20;
const IDLE_MILLISECONDS = 1000;
const EMPTY = "the empty server";

/** P7: resident memory of an idle registry after its first answer, and the largest of the rows before. */
export async function measureMemory(bench: Bench): Promise<Row[]> {
  const notes = describeHow(bench);
  const measure = (start: () => Promise<PeerServer>) => async () => {
    await using server = await start();
    await (await fetch(`${server.url}/v2/`)).text();
    return await measureIdle(server.pid);
  };
  const contenders: Contender[] = [
    { name: "crpe registry, idle", measure: measure(() => startRegistry(bench)) },
    { name: EMPTY, measure: measure(() => startEmpty(bench)) },
    ...bench.registries.map((registry): Contender => ({
      name: registry.name,
      measure: measure(() => startPeer(bench, registry)),
    })),
  ];
  const idle = await measureInTurns(bench.options.rounds, contenders);
  const rows: Row[] = [{
    id: "P7",
    work: "resident memory, idle",
    unit: "MiB",
    series: idle,
    bars: [createBar("crpe", idle[0]!.median, { sense: "at most", limit: 48 })],
    notes,
  }];
  const peaks = bench.rows.filter(({ id }) => /^P[3-6]$/.test(id)).flatMap(({ id, series }) =>
    series.filter(({ name, peak }) => name.startsWith("crpe") && peak !== undefined)
      .map(({ name, peak = 0 }) => createSeries(`${name}, ${id}`, [{ figure: peak }]))
  );
  if (peaks.length === 0) return rows;
  const size = Math.round(bench.options.size / MIB);
  return [...rows, {
    id: "P7",
    work: `resident memory, the largest of all rounds, with ${size} MiB`,
    unit: "MiB",
    series: peaks,
    bars: [createBar("crpe", Math.max(...peaks.map(({ max }) => max)), { sense: "at most", limit: 160 })],
    notes: size === 2048 ? [] : ["the bar is for a layer of 2 GiB; scripts/memory.ts measures that too"],
  }];
}

/** P8: the time from the start of the process to the first answer. */
export async function measureStart(bench: Bench): Promise<Row[]> {
  const measure = (start: () => Promise<Server>) => async () => {
    await using server = await start();
    return { figure: server.startTime, cpu: cpuSecondsOf(server.pid), peak: peakMemoryOf(server.pid) };
  };
  const contenders: Contender[] = [
    { name: "crpe registry", measure: measure(() => startRegistry(bench)) },
    { name: EMPTY, measure: measure(() => startEmpty(bench)) },
    ...bench.registries.map((registry): Contender => ({
      name: registry.name,
      measure: measure(() => startTimed(() => startPeer(bench, registry))),
    })),
  ];
  for (const contender of contenders) await contender.measure();
  const series = await measureInTurns(bench.options.rounds, contenders);
  return [{
    id: "P8",
    work: "start to the first answer",
    unit: "ms",
    series,
    bars: [createBar("crpe", series[0]!.median, { sense: "at most", limit: 100 })],
    notes: describeHow(bench),
  }];
}

function startRegistry(bench: Bench): Promise<Server> {
  const args = [`--data=${bench.root}/start`, `--upstream=${HOST}`];
  return startServer((port) => bench.registryCommand(port, args));
}

function startEmpty({ options: { constantServer } }: Bench): Promise<Server> {
  return startServer((port) => [...constantServer, String(port)]);
}

async function startPeer(bench: Bench, { serve, startProxy }: PeerRegistry): Promise<PeerServer> {
  const folder = bench.newPath("idle");
  return await (serve === undefined ? startProxy("http://127.0.0.1:1", folder) : serve(folder));
}

async function measureIdle(pid: number): Promise<Measurement> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_MILLISECONDS));
  return { figure: memoryOf(pid) / MIB, cpu: cpuSecondsOf(pid) };
}

function describeHow({ options: { constantServer } }: Bench): string[] {
  return [
    ...(Deno.env.get("CRPE")
      ? []
      : ["crpe ran from its sources, but the bar is for an executable: name one with $CRPE"]),
    ...(constantServer.length > 1 ? ["the empty server ran from its source, and not as an executable"] : []),
  ];
}
