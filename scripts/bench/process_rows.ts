import { startDistribution } from "../../tests/support/distribution.ts";
import type { Bench } from "./bench.ts";
import { HOST } from "./content.ts";
import { createBar, type Row } from "./row.ts";
import { type Contender, createSeries, measureInTurns } from "./samples.ts";
import { type Server, startServer } from "./server.ts";
import { readMemory } from "./watch_memory.ts";

const MIB = 2 ** 20;
const IDLE_MILLISECONDS = 1000;
const EMPTY = "the empty server";

/** P7: resident memory of an idle registry after its first answer, and the largest of the rows before. */
export async function measureMemory(bench: Bench): Promise<Row[]> {
  const notes = describeHow(bench);
  const measure = (start: () => Promise<Server>) => async () => {
    await using server = await start();
    return await idleMemory(server.pid);
  };
  const contenders: Contender[] = [
    { name: "crpe registry, idle", measure: measure(() => startRegistry(bench)) },
    { name: EMPTY, measure: measure(() => startEmpty(bench)) },
  ];
  if (bench.has("docker-registry")) {
    contenders.push({
      name: "distribution",
      measure: async () => {
        await using distribution = await startDistribution({ dataDir: bench.newPath("idle") });
        await (await fetch(`${distribution.url}/v2/`)).text();
        return await idleMemory(distribution.pid);
      },
    });
  }
  const idle = await measureInTurns(bench.options.rounds, contenders);
  const rows: Row[] = [{
    id: "P7",
    work: "resident memory, idle",
    unit: "MiB",
    series: idle,
    bars: [createBar("crpe", idle[0]!.median, { sense: "at most", limit: 64 })],
    notes,
  }];
  const peaks = [...bench.peaks].filter(([work]) => /^P[3-6] /.test(work));
  if (peaks.length === 0) return rows;
  const size = Math.round(bench.options.size / MIB);
  return [...rows, {
    id: "P7",
    work: `resident memory, the largest of all rounds, with ${size} MiB`,
    unit: "MiB",
    series: peaks.map(([work, peak]) => createSeries(`crpe, ${work}`, [peak / MIB])),
    bars: [createBar("crpe", Math.max(...peaks.map(([, peak]) => peak)) / MIB, { sense: "at most", limit: 160 })],
    notes: size === 2048 ? [] : ["the bar is for --size=2GiB; scripts/memory.ts measures that too"],
  }];
}

/** P8: the time from the start of the process to the first answer. */
export async function measureStart(bench: Bench): Promise<Row[]> {
  const measure = (start: () => Promise<Server>) => async () => {
    await using server = await start();
    return server.startTime;
  };
  const contenders: Contender[] = [
    { name: "crpe registry", measure: measure(() => startRegistry(bench)) },
    { name: EMPTY, measure: measure(() => startEmpty(bench)) },
  ];
  for (const { measure } of contenders) await measure();
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

async function idleMemory(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, IDLE_MILLISECONDS));
  return (readMemory(pid)?.now ?? NaN) / MIB;
}

function describeHow({ options: { constantServer } }: Bench): string[] {
  return [
    ...(Deno.env.get("CRPE")
      ? []
      : ["crpe ran from its sources, but the bar is for an executable: name one with $CRPE"]),
    ...(constantServer.length > 1
      ? ["the empty server ran from source: name an executable with --constant-server"]
      : []),
  ];
}
