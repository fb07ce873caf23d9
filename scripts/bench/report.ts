import { crpeCommand } from "../../tests/support/crpe_process.ts";
import type { BenchOptions } from "./bench.ts";
import type { Row } from "./row.ts";

/** A run of the benchmark; the document of `--json`. */
export interface BenchReport {
  readonly machine: Machine;
  readonly options: Pick<BenchOptions, "size" | "large" | "images" | "bundled" | "rounds">;
  /** The time of the whole run, in seconds. */
  readonly seconds: number;
  /** The programs that were left out because they are not installed. */
  readonly missing: readonly string[];
  readonly rows: readonly Row[];
}

/** What the figures depend on. */
export interface Machine {
  /** `crpe 0.1.0 (executable)` */
  readonly crpe: string;
  readonly cpus: number;
  /** The name of the processor. */
  readonly cpu: string;
  /** Memory, in bytes. */
  readonly memory: number;
  readonly kernel: string;
  readonly target: string;
  /** The load average of one minute when the run ended. */
  readonly load: number;
  /** `YYYY-MM-DD` */
  readonly date: string;
}

/** Describes this machine and the crpe under measurement. */
export async function describeMachine(): Promise<Machine> {
  const [command, ...words] = crpeCommand();
  const { stdout } = await new Deno.Command(command!, { args: [...words, "version"] }).output();
  const [version] = new TextDecoder().decode(stdout).split("\n");
  const cpuinfo = await Deno.readTextFile("/proc/cpuinfo");
  return {
    crpe: `${version} (${words.length === 0 ? "executable" : "sources"})`,
    cpus: navigator.hardwareConcurrency,
    cpu: /^model name\s*: (.*)$/m.exec(cpuinfo)?.[1] ?? "unknown processor",
    memory: Deno.systemMemoryInfo().total,
    kernel: Deno.osRelease(),
    target: Deno.build.target,
    load: Deno.loadavg()[0]!,
    date: new Date().toISOString().slice(0, 10),
  };
}
