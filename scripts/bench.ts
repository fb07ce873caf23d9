/**
 * Benchmarks crpe and other programs on the same work, and prints the figures of each. Slowness is never a failure.
 * scripts/README.md explains the options, and docs/performance.md the rows.
 *
 *   deno run -A scripts/bench.ts [--only=P1,P3] [--size=512MiB] [--rounds=5] [--json] …
 *
 * $CRPE names an executable to measure instead of the sources.
 */
import { parseSize } from "../lib/cli/console/quantity.ts";
import { Bench, type BenchOptions } from "./bench/bench.ts";
import { type BenchReport, describeMachine } from "./bench/report.ts";
import { formatReport } from "./bench/format_report.ts";
import { MEASURES } from "./bench/measures.ts";

interface Options extends BenchOptions {
  readonly only: readonly string[];
  readonly json: boolean;
}

function parseOptions(args: readonly string[]): Options {
  const values = new Map(args.map((argument) => argument.split("=", 2) as [string, string | undefined]));
  const take = (name: string): string | undefined => {
    const value = values.get(name);
    values.delete(name);
    return value;
  };
  const count = (name: string, fallback: string): number => {
    const value = Number(take(name) ?? fallback);
    if (!Number.isInteger(value) || value < 1) throw new Error(`Cannot use ${name}: write a positive whole number`);
    return value;
  };
  const json = values.delete("--json");
  const chosen = take("--only")?.split(",");
  const only = chosen ?? Object.keys(MEASURES);
  const executable = take("--constant-server");
  const script = new URL("./bench/constant_server.ts", import.meta.url).pathname;
  const options = {
    only,
    json,
    size: parseSize(take("--size") ?? "512MiB", "--size"),
    large: parseSize(take("--large") ?? "2GiB", "--large"),
    images: count("--images", "20000"),
    bundled: count("--bundled", "200"),
    rounds: count("--rounds", "5"),
    constantServer: executable === undefined ? [Deno.execPath(), "run", "-A", script] : [executable],
    peers: take("--peers"),
    pairs: take("--pairs"),
    isPartial: chosen !== undefined,
  };
  const [unknown] = [...values.keys(), ...only.filter((id) => !(id in MEASURES))];
  if (unknown !== undefined) throw new Error(`Cannot use ${unknown}: unknown option or row`);
  return options;
}

const options = parseOptions(Deno.args);
const root = await Deno.makeTempDir({ prefix: "crpe-bench-" });
const started = performance.now();
try {
  console.error(`making ${options.size} bytes of content`);
  const bench = await Bench.create(root, options);
  for (const [id, measure] of Object.entries(MEASURES)) {
    if (!options.only.includes(id)) continue;
    console.error(`measuring ${id}, after ${Math.round((performance.now() - started) / 1000)} s`);
    bench.rows.push(...await measure(bench));
  }
  const { size, large, images, bundled, rounds } = options;
  const report: BenchReport = {
    machine: await describeMachine(),
    options: { size, large, images, bundled, rounds },
    seconds: Math.round((performance.now() - started) / 1000),
    missing: [...bench.missing].sort(),
    rows: bench.rows,
  };
  console.log(options.json ? JSON.stringify(report, undefined, 2) : formatReport(report));
} finally {
  await Deno.remove(root, { recursive: true });
}
