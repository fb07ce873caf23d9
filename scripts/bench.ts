/**
 * Benchmarks crpe and other programs on the same work, and prints the figures of each. Slowness is never a failure.
 * scripts/README.md explains the rows.
 *
 *   deno run -A scripts/bench.ts [--only=P1,P3] [--size=512MiB] [--rounds=5] [--json] [--constant-server=EXECUTABLE]
 *
 * $CRPE names an executable to measure instead of the sources.
 */
import { parseSize } from "../lib/cli/console/quantity.ts";
import { crpeCommand } from "../tests/support/crpe_process.ts";
import { Bench } from "./bench/bench.ts";
import { measureImport, measurePack } from "./bench/bundle_rows.ts";
import { measureColdPull, measureManyClients } from "./bench/cold_rows.ts";
import { formatRows } from "./bench/format_rows.ts";
import { measureMemory, measureStart } from "./bench/process_rows.ts";
import type { Row } from "./bench/row.ts";
import { measureWarmBlob, measureWarmManifest } from "./bench/warm_rows.ts";

// The order matters: P7 reports the memory of the rows before it.
const MEASURES: Readonly<Record<string, (bench: Bench) => Promise<Row[]>>> = {
  P1: measureWarmBlob,
  P2: measureWarmManifest,
  P3: measureColdPull,
  P4: measureManyClients,
  P5: measurePack,
  P6: measureImport,
  P7: measureMemory,
  P8: measureStart,
};

interface Options {
  readonly only: readonly string[];
  readonly size: number;
  readonly rounds: number;
  readonly json: boolean;
  readonly constantServer: readonly string[];
}

function parseOptions(args: readonly string[]): Options {
  const values = new Map(args.map((argument) => argument.split("=", 2) as [string, string | undefined]));
  const take = (name: string): string | undefined => {
    const value = values.get(name);
    values.delete(name);
    return value;
  };
  const json = values.delete("--json");
  const only = take("--only")?.split(",") ?? Object.keys(MEASURES);
  const size = parseSize(take("--size") ?? "512MiB", "--size");
  const rounds = Number(take("--rounds") ?? "5");
  const executable = take("--constant-server");
  const script = new URL("./bench/constant_server.ts", import.meta.url).pathname;
  const [unknown] = [...values.keys(), ...only.filter((id) => !(id in MEASURES))];
  if (unknown !== undefined) throw new Error(`Cannot use ${unknown}: unknown option or row`);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error("Cannot use --rounds: write a positive whole number");
  const constantServer = executable === undefined ? [Deno.execPath(), "run", "-A", script] : [executable];
  return { only, size, rounds, json, constantServer };
}

const options = parseOptions(Deno.args);
const root = await Deno.makeTempDir({ prefix: "crpe-bench-" });
try {
  console.error(`making ${options.size} bytes of content`);
  const bench = await Bench.create(root, options);
  const rows: Row[] = [];
  for (const [id, measure] of Object.entries(MEASURES)) {
    if (!options.only.includes(id)) continue;
    console.error(`measuring ${id}`);
    rows.push(...await measure(bench));
  }
  const missing = [...bench.missing].sort();
  const machine = { cpus: navigator.hardwareConcurrency, ...Deno.build, deno: Deno.version.deno };
  const { size, rounds } = options;
  const crpe = crpeCommand().join(" ");
  if (options.json) console.log(JSON.stringify({ crpe, machine, size, rounds, missing, rows }, undefined, 2));
  else {
    console.log(`${crpe}\non ${machine.cpus} CPUs of ${machine.target}; ${rounds} rounds\n\n${formatRows(rows)}`);
    if (missing.length > 0) console.log(`left out, not installed: ${missing.join(", ")}`);
  }
} finally {
  await Deno.remove(root, { recursive: true });
}
