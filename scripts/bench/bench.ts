import { crpeCommand, type CrpeProcess, spawnCrpe, startCrpe } from "../../tests/support/crpe_process.ts";
import { type BenchContent, createContent } from "./content.ts";
import { findProgram } from "./program.ts";
import { findRegistries, type PeerRegistry } from "./registries.ts";
import type { Row } from "./row.ts";

/** The options of a benchmark. */
export interface BenchOptions {
  /** Size of the large layer, in bytes. */
  readonly size: number;
  /** Size of the layer of P12, in bytes. */
  readonly large: number;
  /** Number of images in the store of P10. */
  readonly images: number;
  /** Number of images in the bundle of P11. */
  readonly bundled: number;
  readonly rounds: number;
  /** The command that runs `constant_server.ts`: an executable, or Deno with the script. */
  readonly constantServer: readonly string[];
  /** The folder with the registries that `scripts/peers/registries` has built. */
  readonly peers: string | undefined;
  /** The output of `scripts/delta/pairs`: a line for each pair of layers of P13. */
  readonly pairs: string | undefined;
  /** Whether only some rows are measured, so that one may take long. */
  readonly isPartial: boolean;
}

/** The state that all rows share: the content, the missing programs, and the rows so far. */
export class Bench {
  readonly root: string;
  readonly options: BenchOptions;
  readonly content: BenchContent;
  /** Required programs that are not installed. */
  readonly missing = new Set<string>();
  /** The rows that are complete. */
  readonly rows: Row[] = [];
  /** The installed registries of other projects. */
  readonly registries: readonly PeerRegistry[];
  #folders = 0;

  private constructor(root: string, options: BenchOptions, content: BenchContent) {
    this.root = root;
    this.options = options;
    this.content = content;
    this.registries = findRegistries(this);
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

  /** Starts `crpe registry`. */
  startCrpe(args: readonly string[]): Promise<CrpeProcess> {
    return startCrpe(["registry", "--addr=127.0.0.1:0", "--quiet", ...args], { env: { HOME: this.root } });
  }

  /** Runs a crpe command. @throws {Error} when it fails */
  async runCrpe(args: readonly string[]): Promise<void> {
    const { code, stderr } = await spawnCrpe([...args, "--quiet"], { env: { HOME: this.root } }).finished;
    if (code !== 0) throw new Error(`crpe ${args[0]} ended with ${code}: ${stderr}`);
  }

  /** Returns the command that runs crpe's registry on a port, for `startServer`. */
  registryCommand(port: number, args: readonly string[]): string[] {
    return [...crpeCommand(), "registry", `--addr=127.0.0.1:${port}`, ...args];
  }
}
