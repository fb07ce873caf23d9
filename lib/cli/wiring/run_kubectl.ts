import { joinChunks } from "../../bytes/join_chunks.ts";
import { withinTime } from "../../bytes/within_time.ts";
import type { KubectlCall, KubectlResult } from "../../install/handover/kubectl_error.ts";
import { cannot, CrpeError } from "../../oci/error.ts";

const ENVIRONMENT = {
  // Variables of the dynamic linker are cleared, because Deno starts a program with them only if crpe may run any program.
  // Termux always sets LD_PRELOAD; kubectl does not need it.
  LD_PRELOAD: "",
  LD_LIBRARY_PATH: "",
  // A user's own defaults would change what kubectl does: ask before it deletes, compare with another program.
  KUBERC: "off",
  KUBECTL_EXTERNAL_DIFF: "",
};

const [MAX_STDOUT, MAX_STDERR] = [64 * 1024 * 1024, 1024 * 1024];
// A kubectl that was told to end gets this long, and so does the rest of the output of one that has exited.
const GRACE = 2000;

/**
 * Runs the kubectl on `$PATH` in crpe's environment, and ends it at its time limit. A login program of kubectl that still
 * runs then, and holds its output open, is not waited for.
 *
 * @returns `undefined` when there is no kubectl
 */
export async function runKubectl(call: KubectlCall): Promise<KubectlResult | undefined> {
  const child = spawnKubectl(call);
  if (child === undefined) return undefined;
  const stdout = new OutputReader(child.stdout, MAX_STDOUT);
  const stderr = new OutputReader(child.stderr, MAX_STDERR);
  const stopWriting = new AbortController();
  const writing = call.input === undefined
    ? undefined
    // kubectl may exit before it has read all input; its own output then explains why.
    : new Blob([call.input]).stream().pipeTo(child.stdin, { signal: stopWriting.signal }).catch(() => {});
  const status = await withinTime(child.status, call.timeLimit * 1000);
  if (status === undefined) await endProcess(child);
  const isRead = await withinTime(Promise.all([stdout.done, stderr.done]), status === undefined ? 0 : GRACE);
  if (isRead === undefined) await Promise.all([stdout.cancel(), stderr.cancel()]);
  stopWriting.abort();
  // A child that holds the standard input open, and does not read it, would let the write wait.
  if (writing !== undefined) await withinTime(writing, GRACE);
  const output = { stdout: stdout.text(), stderr: stderr.text() };
  if (status === undefined) return { code: 1, ...output, timedOutAfter: call.timeLimit };
  if (!stdout.isCut) return { code: status.code, ...output };
  return { code: status.code || 1, stdout: "", stderr: `the output is larger than ${MAX_STDOUT >> 20} MiB\n` };
}

function spawnKubectl({ args, input }: KubectlCall): Deno.ChildProcess | undefined {
  try {
    return new Deno.Command("kubectl", {
      args: [...args],
      env: ENVIRONMENT,
      stdin: input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    // The permission to run kubectl is resolved to a path when crpe starts.
    throw new CrpeError(cannot("run kubectl", "it was installed or moved after crpe started", "restart crpe"), {
      cause: error,
    });
  }
}

async function endProcess(child: Deno.ChildProcess): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    try {
      child.kill(signal);
    } catch {
      // It has exited meanwhile.
    }
    if (await withinTime(child.status, GRACE) !== undefined) return;
  }
}

/** Reads a stream to its end and keeps its start. */
class OutputReader {
  readonly done: Promise<true>;
  /** Whether the stream had more than was kept. */
  isCut = false;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #chunks: Uint8Array<ArrayBuffer>[] = [];
  #room: number;

  constructor(stream: ReadableStream<Uint8Array>, limit: number) {
    this.#reader = stream.getReader();
    this.#room = limit;
    this.done = this.#read();
  }

  text(): string {
    return new TextDecoder().decode(joinChunks(this.#chunks));
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => {});
  }

  async #read(): Promise<true> {
    for (;;) {
      const { value } = await this.#reader.read().catch(() => ({ value: undefined }));
      if (value === undefined) return true;
      if (value.length > this.#room) this.isCut = true;
      const kept = value.slice(0, this.#room);
      this.#room -= kept.length;
      if (kept.length > 0) this.#chunks.push(kept);
    }
  }
}
