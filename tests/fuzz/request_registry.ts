import { DiskStore } from "../../lib/store/disk_store.ts";
import { crpeCommand, denoFolder } from "../support/crpe_process.ts";
import { buildImage } from "../support/images.ts";
import { writeImage } from "../support/put_image.ts";
import { readProcess } from "./read_process.ts";
import { findForeignCalls } from "./traced_calls.ts";

/** Options of the registry. */
export interface RequestRegistryOptions {
  /** Contains its data folder, its home, and a file that it must not read; exists and is empty. */
  readonly folder: string;
  /** The port of its only upstream. */
  readonly upstreamPort: number;
  /** Whether every public host is allowed as an upstream. */
  readonly allowsAny: boolean;
  /** The path of strace, which watches all files and connections of the registry. */
  readonly strace?: string | undefined;
  readonly onFinding: (message: string) => void;
}

/** The content of a file outside of the data folder, which no response may contain. */
export const SECRET = "secret-file-content-7391";
/** The repository of the registry. */
export const REPOSITORY = "registry.test/team/app";

/** A real `crpe registry`: the executable `$CRPE`, or the sources with narrowed read permissions. */
export class RequestRegistry implements AsyncDisposable {
  readonly port: number;
  readonly blob: string;
  readonly #options: RequestRegistryOptions;
  readonly #child: Deno.ChildProcess;
  readonly #log: Promise<void>;
  readonly #traceBegin: number;

  private constructor(
    options: RequestRegistryOptions,
    { child, log, port, blob }: { child: Deno.ChildProcess; log: Promise<void>; port: number; blob: string },
  ) {
    this.#options = options;
    this.#child = child;
    this.#log = log;
    this.port = port;
    this.blob = blob;
    this.#traceBegin = options.strace === undefined ? 0 : Deno.statSync(`${options.folder}/trace`).size;
  }

  static async start(options: RequestRegistryOptions): Promise<RequestRegistry> {
    const { folder, upstreamPort, allowsAny, strace, onFinding } = options;
    const [data, home] = [`${folder}/data`, `${folder}/home`];
    await Deno.mkdir(home);
    await Deno.writeTextFile(`${folder}/secret`, SECRET);
    const image = buildImage();
    const [blob = ""] = [...image.blobs.keys()];
    await writeImage(new DiskStore(data), `${REPOSITORY}:1`, image);
    const narrow: Readonly<Record<string, string>> = { "--allow-read": `--allow-read=${data},${home}` };
    const words = [
      ...(strace === undefined ? [] : [strace, ...STRACE_OPTIONS, "-o", `${folder}/trace`]),
      ...crpeCommand().map((word) => narrow[word] ?? word),
      ...["registry", "--addr=127.0.0.1:0", `--data=${data}`, `--upstream=docker.io=http://127.0.0.1:${upstreamPort}`],
      // Without the flags, these public names would be refused on the loopback interface, before the code under test.
      ...["A.B-c.d", "xn--bcher-kva.example"].map((name) => `--host-name=${name}`),
      ...(allowsAny ? ["--upstream=*"] : []),
    ];
    const child = new Deno.Command(words[0]!, {
      args: words.slice(1),
      clearEnv: true,
      // Deno would otherwise check for a newer version of itself.
      env: {
        ...ENV,
        PATH: Deno.env.get("PATH") ?? "",
        HOME: home,
        DENO_DIR: denoFolder(),
        // The certificates of the system would otherwise be read at the first https connection.
        SSL_CERT_FILE: `${data}/no-certificates.pem`,
      },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const listening = Promise.withResolvers<number>();
    const log = readLog(child, listening.resolve, onFinding).finally(() => {
      listening.reject(new Error("Cannot start the registry: it has exited"));
    });
    return new RequestRegistry(options, { child, log, port: await listening.promise, blob });
  }

  /** The largest resident memory of the registry so far, in bytes. */
  get peakMemory(): number {
    const { pid } = this.#child;
    if (this.#options.strace === undefined) return readProcess(pid).peak;
    return readProcess(Number(Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim().split(" ")[0])).peak;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop("SIGTERM");
    const timer = setTimeout(() => this.#stop("SIGKILL"), 30_000);
    await this.#child.status;
    clearTimeout(timer);
    await this.#log.catch(() => {});
    const { strace, folder, upstreamPort, onFinding } = this.#options;
    if (strace === undefined) return;
    const found = await findForeignCalls(`${folder}/trace`, {
      begin: this.#traceBegin,
      folder: `${folder}/data`,
      modules: Deno.env.get("CRPE") ? undefined : denoFolder(),
      port: upstreamPort,
    });
    for (const call of found) onFinding(`an unexpected system call: ${call}`);
  }

  // With strace, the signal goes to the traced child, which may have exited already.
  #stop(signal: Deno.Signal): void {
    try {
      const { pid } = this.#child;
      const traced = this.#options.strace === undefined
        ? pid
        : Number(Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim().split(" ")[0]);
      Deno.kill(traced, signal);
    } catch {
      // The process has exited already.
    }
  }
}

const ENV = { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" };

// With --seccomp-bpf only the traced calls stop the process.
const STRACE_OPTIONS = ["-f", "--seccomp-bpf", "-qq", "-e", "trace=%file,connect", "-e", "signal=none"];

async function readLog(
  child: Deno.ChildProcess,
  onPort: (port: number) => void,
  onFinding: (message: string) => void,
): Promise<void> {
  let rest = "";
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const port = /\bon http:\/\/127\.0\.0\.1:([0-9]+),? /.exec(line)?.[1];
      if (port !== undefined) onPort(Number(port));
      // deno-lint-ignore no-control-regex
      if (/[\0-\x08\x0b-\x1f\x7f-\x9f]/.test(line)) {
        onFinding(`a log line has control characters: ${JSON.stringify(line)}`);
      }
      if (/ error: |\bat .*\.ts:[0-9]+/.test(line)) onFinding(`the log contains an error: ${line.slice(0, 500)}`);
    }
  }
}
