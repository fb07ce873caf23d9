import { formatSize } from "../../bytes/format_size.ts";
import { createBufferReader } from "../transport/buffer_reader.ts";
import type { RuntimeFetch } from "../transport/middleware.ts";
import type { Sleep } from "../transport/retry.ts";
import { LinkClosedError } from "../transport/transport_error.ts";
import {
  type CurrentPeriod,
  findOpening,
  findPeriod,
  formatLocalTime,
  formatWindow,
  type LinkBudget,
  type LinkLimits,
} from "./link_limits.ts";

/** Records what of each budget is used, so that a restart does not fill it again. */
export interface LinkLedger {
  /**
   * Claims a part of a budget before it is used, durably.
   *
   * @returns the number of bytes claimed; 0 when the budget of the period is used
   */
  claim(budget: LinkBudget, period: CurrentPeriod, bytes: number): Promise<number>;
  /** Gives back what was claimed and not used. */
  release(budget: LinkBudget, period: CurrentPeriod, bytes: number): Promise<void>;
  /** Returns the number of bytes that are claimed. */
  read(budget: LinkBudget, period: CurrentPeriod): Promise<number>;
}

/** Options of a `MeteredLink`. */
interface MeteredLinkOptions {
  readonly limits: LinkLimits;
  readonly ledger: LinkLedger;
  /** Monotonic clock, in milliseconds. */
  readonly now: () => number;
  /** Milliseconds since 1970. */
  readonly wallClock: () => number;
  readonly sleep: Sleep;
}

/** The use of a budget, for people and metrics. */
interface BudgetUse extends LinkBudget {
  readonly used: number;
  /** When it is full again, in milliseconds since 1970. */
  readonly end: number;
}

/** The limits of a link and their state. Times are in milliseconds since 1970. */
interface LinkState {
  /** In bytes a second. */
  readonly rate: number | undefined;
  readonly windows: readonly string[];
  /** When upstreams may be used again; `undefined`: now. */
  readonly closedUntil: number | undefined;
  readonly budgets: readonly BudgetUse[];
}

interface Block {
  readonly budget: LinkBudget;
  period: CurrentPeriod;
  /** Claimed bytes that are not used yet. */
  left: number;
}

// The bytes that are claimed at once: few writes of the ledger, and little is lost when the process is killed.
const MAX_BLOCK_BYTES = 1024 * 1024;
// Reads in a second when the rate is limited: each transfer must make progress before it counts as stalled.
const READS_PER_SECOND = 16;
const MIN_READ_BYTES = 512;
const LEDGER_RETRY_MILLISECONDS = 60_000;

/**
 * Limits what is received from all upstreams together: bytes a second, bytes a day or month, times of the day. It
 * counts the bodies of all responses. Outside of its windows, and when a budget is used, requests fail with a
 * `LinkClosedError` before they are sent, and transfers stop where they are.
 */
export class MeteredLink {
  readonly limits: LinkLimits;
  readonly #options: MeteredLinkOptions;
  readonly #blocks: Block[];
  #claiming: Promise<unknown> = Promise.resolve();
  /** When the next byte may be read, by the monotonic clock. */
  #free = -Infinity;

  constructor(options: MeteredLinkOptions) {
    this.#options = options;
    this.limits = options.limits;
    const time = options.wallClock();
    this.#blocks = options.limits.budgets.map((budget) => ({
      budget,
      period: findPeriod(budget.period, time),
      left: 0,
    }));
  }

  /** Wraps a `fetch` whose responses count as content of a registry. @param host as in image names, normalized */
  metered(host: string, fetch: RuntimeFetch): RuntimeFetch {
    return async (request, init) => {
      await this.#reserve(host, 0, request.signal);
      const response = await fetch(request, init);
      if (response.body === null) return response;
      const { status, statusText, headers } = response;
      return new Response(this.#meter(host, response.body, request.signal), { status, statusText, headers });
    };
  }

  /** The time at which the link opens again, in milliseconds since 1970, for content of `host`; `undefined`: it is open. */
  async closedUntil(host?: string): Promise<number | undefined> {
    try {
      await this.#reserve(host ?? "", 0);
      return undefined;
    } catch (error) {
      if (error instanceof LinkClosedError) return error.until;
      throw error;
    }
  }

  /** Returns how much of each budget is used. */
  async readUse(): Promise<BudgetUse[]> {
    const time = this.#options.wallClock();
    return await Promise.all(this.#blocks.map(async ({ budget, period: claimed, left }) => {
      const period = findPeriod(budget.period, time);
      const used = await this.#options.ledger.read(budget, period);
      return { ...budget, used: Math.max(0, used - (claimed.name === period.name ? left : 0)), end: period.end };
    }));
  }

  /** Describes the limits and what is used of them. Closed: until when, for all registries together. */
  async describe(): Promise<LinkState> {
    const { rate, windows } = this.limits;
    const [closedUntil, budgets] = [await this.closedUntil(), await this.readUse()];
    return { rate, windows: windows.map(formatWindow), closedUntil, budgets };
  }

  /** Gives back what is claimed of the budgets and not used. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const block of this.#blocks) {
      const { budget, period, left } = block;
      block.left = 0;
      if (left > 0) await this.#options.ledger.release(budget, period, left);
    }
  }

  #meter(host: string, body: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
    const reader = createBufferReader(body);
    return new ReadableStream<Uint8Array>({
      type: "bytes",
      autoAllocateChunkSize: 64 * 1024,
      pull: async (controller) => {
        const request = (controller as ReadableByteStreamController).byobRequest!;
        const memory = request.view as Uint8Array<ArrayBuffer>;
        let granted = 0;
        let chunk: Uint8Array<ArrayBuffer> | undefined;
        try {
          granted = await this.#take(host, memory.byteLength, signal);
          chunk = await reader.readInto(new Uint8Array(new ArrayBuffer(granted)));
        } catch (error) {
          this.#giveBack(host, granted);
          await reader.cancel(error);
          throw error;
        }
        this.#giveBack(host, granted - (chunk?.length ?? 0));
        if (chunk === undefined) {
          controller.close();
          return request.respond(0);
        }
        new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength).set(chunk);
        request.respond(chunk.length);
      },
      cancel: (reason) => reader.cancel(reason),
    });
  }

  /** Waits until bytes may be read. @returns their number, at least 1 and at most `wanted` */
  async #take(host: string, wanted: number, signal: AbortSignal): Promise<number> {
    const { limits: { rate }, now, sleep } = this.#options;
    const most = rate === undefined ? wanted : Math.max(MIN_READ_BYTES, Math.floor(rate / READS_PER_SECOND));
    const granted = await this.#reserve(host, Math.min(wanted, most), signal);
    if (rate === undefined) return granted;
    // In the order of the requests, so that all transfers get the same share.
    const start = Math.max(now(), this.#free);
    this.#free = start + granted * 1000 / rate;
    try {
      if (start > now()) await sleep(start - now(), signal);
      return granted;
    } catch (error) {
      this.#giveBack(host, granted);
      throw error;
    }
  }

  #giveBack(host: string, bytes: number): void {
    if (bytes === 0) return;
    const { rate } = this.limits;
    if (rate !== undefined) this.#free -= bytes * 1000 / rate;
    for (const block of this.#blocksOf(host)) block.left += bytes;
  }

  #blocksOf(host: string): Block[] {
    return this.#blocks.filter(({ budget }) => budget.host === undefined || budget.host === host);
  }

  /** Takes up to `bytes` from every budget of `host`. One at a time: claims of two requests must not both be made. */
  #reserve(host: string, bytes: number, signal?: AbortSignal): Promise<number> {
    const reserved = this.#claiming.then(async () => {
      signal?.throwIfAborted();
      this.#checkWindow();
      const blocks = this.#blocksOf(host);
      for (const block of blocks) await this.#fill(block);
      const granted = Math.min(bytes, ...blocks.map(({ left }) => left));
      for (const block of blocks) block.left -= granted;
      return granted;
    });
    this.#claiming = reserved.catch(() => {});
    return reserved;
  }

  #checkWindow(): void {
    const { limits: { windows }, wallClock } = this.#options;
    const time = wallClock();
    const until = findOpening(windows, time);
    if (until === undefined) return;
    const reason = `upstreams are used only from ${windows.map(formatWindow).join(" and ")}`;
    throw new LinkClosedError(`${reason}, so not before ${formatLocalTime(until)}`, { until, now: time });
  }

  async #fill(block: Block): Promise<void> {
    const { ledger, wallClock } = this.#options;
    const { budget } = block;
    const time = wallClock();
    const period = findPeriod(budget.period, time);
    // A clock that is set back does not fill the budget again.
    if (period.name > block.period.name) [block.period, block.left] = [period, 0];
    if (block.left > 0) return;
    try {
      block.left = await ledger.claim(budget, block.period, Math.min(MAX_BLOCK_BYTES, budget.bytes));
    } catch (cause) {
      // What cannot be counted is not received: a metered link costs money.
      const reason = `what is received cannot be counted (${(cause as Error).message})`;
      throw new LinkClosedError(reason, { until: time + LEDGER_RETRY_MILLISECONDS, now: time });
    }
    if (block.left > 0) return;
    const until = block.period.end;
    const whose = budget.host === undefined ? "" : ` of ${budget.host}`;
    throw new LinkClosedError(
      `the budget${whose} of ${formatSize(budget.bytes)} a ${budget.period} is used, until ${formatLocalTime(until)}`,
      { until, now: time },
    );
  }
}
