import { crpeCommand, type CrpeProcess, spawnCrpe, startCrpe } from "../../tests/support/crpe_process.ts";
import { type BenchContent, createContent } from "./content.ts";
import { findProgram } from "./program.ts";
import { readMemory, watchMemory } from "./watch_memory.ts";

/** How a benchmark is to run. */
export interface BenchOptions {
  /** Of the large layer, in bytes. */
  readonly size: number;
  readonly rounds: number;
  /** Command of `constant_server.ts`, as an executable or by Deno. */
  readonly constantServer: readonly string[];
}

/** What all rows share: the content, who is there, and the memory that crpe needed. */
export class Bench {
  readonly root: string;
  readonly options: BenchOptions;
  readonly content: BenchContent;
  /** Programs that would be needed and are not installed. */
  readonly missing = new Set<string>();
  /** The largest resident size of crpe in each kind of work, in bytes. */
  readonly peaks = new Map<string, number>();
  #folders = 0;

  private constructor(root: string, options: BenchOptions, content: BenchContent) {
    this.root = root;
    this.options = options;
    this.content = content;
  }

  static async create(root: string, options: BenchOptions): Promise<Bench> {
    return new Bench(root, options, await createContent(root, options.size));
  }

  /** Tells whether all these programs are installed, and notes those that are not. */
  has(...programs: readonly string[]): boolean {
    const missing = programs.filter((program) => findProgram(program) === undefined);
    for (const program of missing) this.missing.add(program);
    return missing.length === 0;
  }

  /** The name of a file or folder that does not exist yet. */
  newPath(name: string): string {
    return `${this.root}/${name}-${++this.#folders}`;
  }

  /** Starts a crpe that serves, and notes its memory under `work` when it is disposed of. */
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

  /** Runs crpe to its end, and notes its memory under `work`. @throws when it fails */
  async runCrpe(work: string, args: readonly string[]): Promise<void> {
    const crpe = spawnCrpe([...args, "--quiet"], { env: { HOME: this.root } });
    const memory = watchMemory(crpe.pid);
    const { code, stderr } = await crpe.finished;
    this.#notePeak(work, memory.stop());
    if (code !== 0) throw new Error(`crpe ${args[0]} ended with ${code}: ${stderr}`);
  }

  /** The words that run crpe's registry on a port, where it is started as any other server is. */
  registryCommand(port: number, args: readonly string[]): string[] {
    return [...crpeCommand(), "registry", `--addr=127.0.0.1:${port}`, ...args];
  }

  #notePeak(work: string, peak: number): void {
    this.peaks.set(work, Math.max(this.peaks.get(work) ?? 0, peak));
  }
}
