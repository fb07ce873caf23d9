import { pause } from "../bytes/pause.ts";
import { writeFileDurably } from "../files/durable.ts";
import { ifPresent, listFolder } from "../files/if_present.ts";
import { ALGORITHMS, isDigest } from "../oci/digest.ts";
import { isJsonObject } from "../oci/json.ts";
import { isNotWritable } from "../files/not_writable.ts";
import type { DiskStore } from "./disk_store.ts";
import { BLOBS, INGEST, temporaryPath } from "./layout.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** Options of a `Scrub`. */
export interface ScrubOptions {
  /** The data folder. */
  readonly root: string;
  readonly store: DiskStore;
  /** Time in which the whole store is read once, in milliseconds. */
  readonly period: number;
  /** Reports whether clients are downloading. */
  readonly isBusy: () => boolean;
  /** Called when the whole store was read. */
  readonly onCycle?: (result: ScrubResult) => void;
  /** Called with an error that ended a step. The scrub continues with the next one. */
  readonly warn: (message: string) => void;
  /** Wall clock, in milliseconds. */
  readonly now?: () => number;
  /** Waits, unless the scrub was stopped. */
  readonly wait?: (milliseconds: number, signal: AbortSignal) => Promise<void>;
}

/** The result of one cycle. */
export interface ScrubResult {
  readonly blobs: number;
  readonly bytes: number;
  readonly corrupt: number;
}

/** The state of a cycle, which a restarted process continues. */
interface Position extends ScrubResult {
  /** Start of the cycle, by the wall clock, in milliseconds. */
  readonly since: number;
  /** Number of the steps that are done. */
  readonly done: number;
}

/** The blobs are read in this many steps: those whose digest begins with 00, 01 and so on. */
const STEPS = 256;
const RECORD = `${INGEST}/scrub.json`;
// The pause after each chunk of 1 MiB, in milliseconds: at most 8 MiB/s, and much less while clients download.
const PAUSE_MILLISECONDS = 125;
const BUSY_MILLISECONDS = 10_000;
const START_MILLISECONDS = 60_000;
// Longest wait for the next step, after which the clock is read again: it may have been set.
const MAX_WAIT_MILLISECONDS = 60 * 60 * 1000;

/**
 * Reads the blobs of a store again and again, slowly, to find those that have become corrupt on the disk. They are moved
 * to the quarantine. The position is recorded, so that a restart does not begin from the start.
 */
export class Scrub implements AsyncDisposable {
  readonly #options: ScrubOptions;
  readonly #now: () => number;
  readonly #wait: NonNullable<ScrubOptions["wait"]>;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  /** Starts the scrub. It ends when the object is disposed of. */
  constructor(options: ScrubOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#wait = options.wait ??
      ((milliseconds, signal) => pause(milliseconds, { isUnref: true, signal }).catch(() => {}));
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    // Not at once: a server that starts has other work.
    await this.#wait(Math.min(START_MILLISECONDS, this.#options.period / STEPS), this.#stop.signal);
    let position = await this.#readPosition();
    while (!this.#stop.signal.aborted) {
      const due = position.since + (position.done * this.#options.period) / STEPS;
      const early = due - this.#now();
      if (early > 0) {
        await this.#wait(Math.min(early, MAX_WAIT_MILLISECONDS), this.#stop.signal);
        continue;
      }
      position = await this.#step(position);
    }
  }

  async #step(position: Position): Promise<Position> {
    let next = { ...position, done: position.done + 1 };
    try {
      const found = await this.#readStep(position.done);
      next = {
        ...next,
        blobs: next.blobs + found.blobs,
        bytes: next.bytes + found.bytes,
        corrupt: next.corrupt + found.corrupt,
      };
    } catch (error) {
      if (this.#stop.signal.aborted) return position;
      this.#options.warn(`Cannot check the store for corrupt blobs: ${describeSystemError(error)}`);
    }
    if (this.#stop.signal.aborted) return position;
    if (next.done >= STEPS) {
      const { blobs, bytes, corrupt } = next;
      this.#options.onCycle?.({ blobs, bytes, corrupt });
      // The next cycle begins when this one was to end, or now if it took longer.
      next = newCycle(Math.max(position.since + this.#options.period, this.#now()));
    }
    await this.#writePosition(next);
    return next;
  }

  async #readStep(step: number): Promise<ScrubResult> {
    const { root, store } = this.#options;
    let [blobs, bytes, corrupt] = [0, 0, 0];
    const prefix = step.toString(16).padStart(2, "0");
    for (const algorithm of ALGORITHMS) {
      for (const { name } of await listFolder(`${root}/${BLOBS}/${algorithm}/${prefix}`) ?? []) {
        const digest = `${algorithm}:${name}`;
        if (!isDigest(digest)) continue;
        const state = await store.checkBlob(digest, async (count) => {
          bytes += count;
          await this.#pause();
        });
        // A blob that was removed in the meantime is not corrupt.
        if (state !== "missing") blobs++;
        if (state === "corrupt") corrupt++;
      }
    }
    return { blobs, bytes, corrupt };
  }

  async #pause(): Promise<void> {
    const { signal } = this.#stop;
    await this.#wait(this.#options.isBusy() ? BUSY_MILLISECONDS : PAUSE_MILLISECONDS, signal);
    signal.throwIfAborted();
  }

  async #readPosition(): Promise<Position> {
    try {
      const json: unknown = JSON.parse(await ifPresent(Deno.readTextFile(`${this.#options.root}/${RECORD}`)) ?? "");
      const { since, done, blobs, bytes, corrupt } = isJsonObject(json) ? json : {};
      const numbers = [since, done, blobs, bytes, corrupt];
      if (numbers.every((it) => Number.isSafeInteger(it) && it as number >= 0) && (done as number) < STEPS) {
        const position = { since, done, blobs, bytes, corrupt } as Position;
        // A clock that was set back must not stop the scrub.
        return { ...position, since: Math.min(position.since, this.#now()) };
      }
    } catch {
      // A record that cannot be read only costs a new start.
    }
    return newCycle(this.#now());
  }

  async #writePosition(position: Position): Promise<void> {
    const { root } = this.#options;
    try {
      const bytes = new TextEncoder().encode(`${JSON.stringify(position)}\n`);
      await writeFileDurably(`${root}/${RECORD}`, bytes, { temporary: temporaryPath(root) });
    } catch (error) {
      if (!isNotWritable(error)) {
        this.#options.warn(`Cannot record the position of the scrub: ${describeSystemError(error)}`);
      }
    }
  }
}

function newCycle(since: number): Position {
  return { since, done: 0, blobs: 0, bytes: 0, corrupt: 0 };
}
