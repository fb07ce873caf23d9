import { bucketOf } from "./served_store.ts";
/** The exit status and output of a process. */
export interface ProcessResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running crpe. It is stopped when this is disposed of. */
export interface CrpeProcess extends AsyncDisposable {
  /** The URL of its server. */
  readonly url: string;
  readonly pid: number;
  readonly finished: Promise<ProcessResult>;
  /** Everything that it has printed to standard error so far. */
  readonly log: () => string;
  /** Waits until it has printed a text to standard error. */
  printed(text: string): Promise<void>;
  kill(signal: Deno.Signal): void;
}

/** Options of a crpe process. */
export interface CrpeOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array<ArrayBuffer>>;
  readonly cwd?: string;
  /** Words before crpe's own: a program that starts crpe in another environment. */
  readonly within?: readonly string[];
}

const MAIN = new URL("../../main.ts", import.meta.url).pathname;
const PROJECT = new URL("../../deno.json", import.meta.url);

/**
 * Gives the command that runs crpe: the executable `$CRPE`, the joined modules in the folder `$CRPE_BUILD`, or the sources;
 * the latter two with the permissions of the task `crpe`.
 */
export function crpeCommand(): string[] {
  const [executable, build] = [Deno.env.get("CRPE"), Deno.env.get("CRPE_BUILD")];
  if (executable) return [executable];
  const { tasks } = JSON.parse(Deno.readTextFileSync(PROJECT)) as { tasks: Record<string, string> };
  const words = [Deno.execPath(), ...tasks.crpe!.split(" ").slice(1, -1)];
  if (build) return [...words, "--no-lock", `--config=${build}deno.json`, `${build}main.js`];
  return [...words, `--config=${PROJECT.pathname}`, MAIN];
}

// Those of the tests that scripts/on_bucket.ts runs.
const BUCKET_COMMANDS = ["registry", "pull", "images"];

/** Starts a crpe server, and waits until it listens. */
export async function startCrpe(args: readonly string[], options: CrpeOptions = {}): Promise<CrpeProcess> {
  const crpe = spawnCrpe(args, options);
  return { ...crpe, url: await crpe.listening };
}

/** Runs crpe to its end. */
export function runCrpe(args: readonly string[], options: CrpeOptions = {}): Promise<ProcessResult> {
  return spawnCrpe(args, options).finished;
}

/**
 * The environment by which a registry, or what works with its store, uses a bucket instead of its data folder, when
 * scripts/on_bucket.ts runs the tests.
 */
function storeOf([command = "", ...args]: readonly string[]): Record<string, string> {
  const data = args.find((argument) => argument.startsWith("--data="))?.slice("--data=".length);
  const bucket = data === undefined ? undefined : bucketOf(data);
  return bucket === undefined || !BUCKET_COMMANDS.includes(command) ? {} : { CRPE_STORE: bucket.url, ...bucket.env };
}

/** Starts crpe without waiting. `listening` resolves to the URL of a server. */
export function spawnCrpe(args: readonly string[], options: CrpeOptions) {
  const [command, ...words] = [...options.within ?? [], ...crpeCommand()];
  const child = new Deno.Command(command!, {
    args: [...words, ...args],
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", DENO_DIR: denoFolder(), NO_COLOR: "1", ...storeOf(args), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  if (options.stdin !== undefined) {
    const body = options.stdin instanceof Uint8Array ? new Blob([options.stdin]).stream() : options.stdin;
    // crpe may end before it has read everything.
    body.pipeTo(child.stdin).catch(() => {});
  }
  let log = "";
  const listening = Promise.withResolvers<string>();
  const readLog = async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      log += text;
      const url = /\bon (https?:\/\/\S+?),? /.exec(log)?.[1];
      if (url !== undefined) listening.resolve(url);
    }
  };
  const finished = Promise.all([child.status, new Response(child.stdout).text(), readLog()])
    .then(([{ code }, stdout]) => ({ code, stdout, stderr: log }));
  let isEnded = false;
  const ended = finished.then(({ code, stderr }) => {
    isEnded = true;
    listening.reject(new Error(`crpe ${args[0]} ended with ${code} before it listened: ${stderr}`));
  });
  listening.promise.catch(() => {});
  return {
    listening: listening.promise,
    pid: child.pid,
    finished,
    log: () => log,
    async printed(text: string) {
      while (!log.includes(text)) {
        if (isEnded) throw new Error(`crpe ${args[0]} ended without printing ${text}: ${log}`);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    },
    kill: (signal: Deno.Signal) => child.kill(signal),
    async [Symbol.asyncDispose]() {
      try {
        child.kill("SIGTERM");
      } catch {
        // The process has ended already.
      }
      await ended;
    },
  };
}

/**
 * Gives the folder of Deno's downloads. The tests give crpe a home of its own, so that it would not find the folder.
 */
export function denoFolder(): string {
  return Deno.env.get("DENO_DIR") ?? `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/deno`;
}
