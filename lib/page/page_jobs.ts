import { toApiError } from "../agent/answer.ts";
import { cannot, RegistryError } from "../oci/error.ts";

/** The state of a job as the page shows it. */
interface PageJob {
  readonly id: string;
  readonly kind: "pack" | "send" | "pull";
  /** What it works on: `line4@1.0.0`, the digest of a bundle, or an image. */
  readonly title: string;
  /** The address of the agent that a bundle is sent to. */
  readonly node?: string;
  readonly state: "running" | "done" | "failed" | "stopped";
  /** Absent until the first bytes. */
  readonly bytes?: number;
  readonly total?: number | undefined;
  /** The result of a job that is done. */
  readonly result?: unknown;
  /** Why a job has failed. */
  readonly error?: string;
  /** The detail of the error, as in an error document. */
  readonly detail?: unknown;
}

/** What a job reports to, and is stopped by. */
export interface JobContext {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: { bytes: number; total?: number | undefined }) => void;
}

interface Entry {
  job: PageJob;
  readonly abort: AbortController;
}

// Packing and pulling are bound by the disk; sending, by the networks of the agents.
const MAX_RUNNING = { pack: 4, send: 16, pull: 4 };
const MAX_KEPT = 50;

/**
 * The work that the page has started, and that continues without it: a page that is reloaded, or another one, finds it here.
 * The last fifty jobs are kept until the server ends.
 */
export class PageJobs {
  readonly #entries = new Map<string, Entry>();
  readonly #describeError: (error: unknown) => string;
  #number = 0;

  constructor(describeError: (error: unknown) => string) {
    this.#describeError = describeError;
  }

  /** Lists the jobs, the latest first. */
  list(): PageJob[] {
    return [...this.#entries.values()].map(({ job }) => job).reverse();
  }

  /**
   * Checks that several jobs can be started now.
   *
   * @throws {RegistryError} `TOOMANYREQUESTS` as `start` does, and `INVALID` when there are more than can ever run at once
   */
  checkRoom(kind: PageJob["kind"], count: number): void {
    const [running, most] = [this.#countRunning(kind), MAX_RUNNING[kind]];
    if (count > most) {
      throw new RegistryError(
        "INVALID",
        cannot(`start ${count} jobs`, `at most ${most} run at once`, "start some of them"),
      );
    }
    if (running + count > most) {
      throw new RegistryError("TOOMANYREQUESTS", cannot("start", `${running} jobs are running`, "wait for one to end"));
    }
  }

  /** Starts a job. @throws {RegistryError} `TOOMANYREQUESTS` when four packs, four pulls, or sixteen sendings, are running */
  start(
    what: Pick<PageJob, "kind" | "title" | "node">,
    work: (context: JobContext) => Promise<unknown>,
  ): PageJob {
    this.checkRoom(what.kind, 1);
    const id = String(++this.#number);
    const entry: Entry = { job: { id, ...what, state: "running" }, abort: new AbortController() };
    this.#entries.set(id, entry);
    this.#forgetOldest();
    this.#run(entry, work);
    return entry.job;
  }

  /** Stops a running job, or forgets one that has ended. @throws {RegistryError} `NOT_FOUND` */
  stop(id: string): PageJob {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new RegistryError("NOT_FOUND", cannot(`find the job ${id}`, "it is not known"));
    if (entry.job.state === "running") entry.abort.abort();
    else this.#entries.delete(id);
    return entry.job;
  }

  async #run(entry: Entry, work: (context: JobContext) => Promise<unknown>): Promise<void> {
    const { signal } = entry.abort;
    const onProgress: JobContext["onProgress"] = ({ bytes, total }) => {
      signal.throwIfAborted();
      entry.job = { ...entry.job, bytes, total };
    };
    try {
      const result = await work({ signal, onProgress });
      entry.job = { ...entry.job, state: "done", result };
    } catch (cause) {
      const { message, detail } = toApiError(cause, this.#describeError);
      entry.job = signal.aborted
        ? { ...entry.job, state: "stopped" }
        : { ...entry.job, state: "failed", error: message, detail };
    }
  }

  #countRunning(of: PageJob["kind"]): number {
    return this.list().filter(({ kind, state }) => kind === of && state === "running").length;
  }

  #forgetOldest(): void {
    for (const [id, { job }] of this.#entries) {
      if (this.#entries.size <= MAX_KEPT) return;
      if (job.state !== "running") this.#entries.delete(id);
    }
  }
}
