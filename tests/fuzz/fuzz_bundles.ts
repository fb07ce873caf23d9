import { readProcess } from "./read_process.ts";

/** Which cases to run, and where. */
export interface FuzzBundlesOptions {
  /** The seed of all cases. */
  readonly seed: number;
  /** The number of the first case. */
  readonly first?: number;
  readonly count: number;
  /** Whether the bundles are signed, and a site with a trusted key imports them. */
  readonly isSigned?: boolean;
  /** The only folder that is written to; it exists and is empty. */
  readonly folder: string;
  readonly onCase?: (number: number) => void;
}

/** A fault of crpe, and the case that revealed it. */
export interface Finding {
  readonly number: number;
  readonly seed: string;
  readonly what: string;
  readonly message: string;
}

/** The result of a run. */
export interface FuzzBundlesResult {
  readonly findings: readonly Finding[];
  /** The number of cases by outcome: `<level or seed>\t<outcome>` → number. */
  readonly table: Readonly<Record<string, number>>;
  /** The largest resident memory of the importing process, in bytes. */
  readonly peakMemory: number;
}

/** The heap limit of the importing process, in MiB; V8 aborts above it. */
const MAX_HEAP = 192;
/** The limit of its resident memory, in bytes: Deno itself, the heap, and memory outside of the heap. */
export const MAX_MEMORY = 400 * 1024 * 1024;
/** The limit of the memory in use after a final garbage collection, in bytes. More would be a leak. */
const MAX_LEFT = 48 * 1024 * 1024;
const SILENCE_MILLISECONDS = 60_000;

/**
 * Imports mutated bundles in a process whose permissions allow reading and writing one folder, and nothing else: no
 * network, no environment, no programs. A case that takes too long is a finding, and ends the run.
 */
export async function fuzzBundles(options: FuzzBundlesOptions): Promise<FuzzBundlesResult> {
  const { seed, first = 0, count, isSigned = false, folder, onCase } = options;
  const script = new URL("./fuzz_bundles_child.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...[
        "run",
        "--no-prompt",
        "--quiet",
        `--config=${config}`,
        `--v8-flags=--expose-gc,--max-old-space-size=${MAX_HEAP}`,
      ],
      ...[`--allow-read=${folder}`, `--allow-write=${folder}`, "--allow-sys=uid", script],
      ...[folder, `${seed}`, `${first}`, `${count}`, isSigned ? "signed" : "unsigned"],
    ],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const findings: Finding[] = [];
  const errors = new Response(child.stderr).text();
  let number = first;
  let table: Record<string, number> | undefined;
  let peakMemory = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => child.kill("SIGKILL"), SILENCE_MILLISECONDS);
  };
  watch();
  for await (const line of linesOf(child.stdout)) {
    watch();
    const [, kind, rest = ""] = /^(\w+) (.*)$/.exec(line) ?? [];
    if (kind === "case") onCase?.(number = Number(rest));
    else if (kind === "finding") findings.push(JSON.parse(rest));
    else if (kind === "done") {
      const done = JSON.parse(rest) as { table: Record<string, number>; left: number };
      table = done.table;
      if (done.left > MAX_LEFT) findings.push(ofAll(number, `${done.left} bytes were not freed`));
      const { peak, openFiles } = readProcess(child.pid);
      peakMemory = peak;
      const left = openFiles.filter((path) => path.startsWith(folder));
      if (left.length > 0) {
        findings.push(ofAll(number, `files are still open: ${left.join(", ")}`));
      }
      await child.stdin.close();
    }
  }
  clearTimeout(timer);
  const { code } = await child.status;
  if (table === undefined || code !== 0) {
    const message = `the process exited with ${code}: ${(await errors).slice(0, 4000)}`;
    findings.push({ number, seed: "unknown", what: "unknown", message });
  }
  if (peakMemory > MAX_MEMORY) {
    findings.push(ofAll(number, `${peakMemory} bytes of memory were in use`));
  }
  return { findings, table: table ?? {}, peakMemory };
}

function ofAll(number: number, message: string): Finding {
  return { number, seed: "all", what: "all cases", message };
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
