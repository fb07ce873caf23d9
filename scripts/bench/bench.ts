import { crpeCommand, type CrpeProcess, spawnCrpe, startCrpe } from "../../tests/support/crpe_process.ts";
import { type BenchContent, createContent } from "./content.ts";
import { findProgram } from "./program.ts";
import { readMemory, watchMemory } from "./watch_memory.ts";

/** The options of a benchmark. */
export interface BenchOptions {
  /** Size of the large layer, in bytes. */
  readonly size: number;
  readonly rounds: number;
  /** The command that runs `constant_server.ts`: an executable, or Deno with the script. */
  readonly constantServer: readonly string[];
}

/** The state that all rows share: the content, the missing programs, and the memory that crpe used. */
export class Bench {
  readonly root: string;
  readonly options: BenchOptions;
  readonly content: BenchContent;
  /** Required programs that are not installed. */
  readonly missing = new Set<string>();
  /** The largest resident size of crpe by kind of work, in bytes. */
  readonly peaks = new Map<string, number>();
  #folders = 0;

  private constructor(root: string, options: BenchOptions, content: BenchContent) {
    this.root = root;
    this.options = options;
    this.content = content;
  }

  /** Creates the content below `root`, and the benchmark on it. */
  static async create(root: string, options: BenchOptions): Promise<Bench> {
    return new Bench(root, options, await createContent(root, options.size));
  }

  /** Reports whether all programs are installed, and records missing ones. */
  has(...programs: readonly string[]): boolean {
    const missing = programs.filter((program) => findProgram(program) === undefined);
    for (const program of missing) this.missing.add(program);
    return missing.length === 0;
  }

  /** Returns the path of a file or folder that does not exist yet. */
  newPath(name: string): string {
    return `${this.root}/${name}-${++this.#folders}`;
  }

  /** Starts `crpe registry`. Its disposal records its peak memory under `work`. */
  async startCrpe(work: string, args: readonly string[]): Promise<CrpeProcess> {
    const crpe = await startCrpe(["registry", "--addr=127.0.0.1:0", "--quiet", ...args], { env: { HOME: this.root } });
    return {
      ...crpe,
      [Symbol.asyncDispose]: async () => {
        this.#notePeak(work, readMemory(crpe.pid)?.peak ?? 0);
        await crpe[Symbol.asyncDispose]();
      },
    };
  }

  /** Runs a crpe command, and records its peak memory under `work`. @throws {Error} when it fails */
  async runCrpe(work: string, args: readonly string[]): Promise<void> {
    const crpe = spawnCrpe([...args, "--quiet"], { env: { HOME: this.root } });
    const memory = watchMemory(crpe.pid);
    const { code, stderr } = await crpe.finished;
    this.#notePeak(work, memory.stop());
    if (code !== 0) throw new Error(`crpe ${args[0]} ended with ${code}: ${stderr}`);
  }

  /** Returns the command that runs crpe's registry on a port, for `startServer`. */
  registryCommand(port: number, args: readonly string[]): string[] {
    return [...crpeCommand(), "registry", `--addr=127.0.0.1:${port}`, ...args];
  }

  #notePeak(work: string, peak: number): void {
    this.peaks.set(work, Math.max(this.peaks.get(work) ?? 0, peak));
  }
}
