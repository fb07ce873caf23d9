import { createFolder, writeFileDurably } from "../../files/durable.ts";
import { waitForLock } from "../../files/file_lock.ts";
import { ifPresent } from "../../files/if_present.ts";
import type { CurrentPeriod, LinkBudget } from "../../upstream/link/link_limits.ts";
import type { LinkLedger } from "../../upstream/link/metered_link.ts";

/** The bytes that are claimed of one budget, in the latest period in which it was used. */
interface Claimed {
  readonly period: string;
  readonly bytes: number;
}

type Ledger = Readonly<Record<string, Claimed>>;

const FILE = ".link-usage.json";
const LOCK = ".link-usage.lock";

/**
 * What of each budget is used, in a file of the data folder. Several processes may use it at once. It is written before
 * the bytes are received: a process that is killed has used less than it says.
 */
export class LinkLedgerFile implements LinkLedger {
  readonly #data: string;
  readonly #warn: (message: string) => void;

  /** @param data the data folder; created by the first claim */
  constructor(data: string, warn: (message: string) => void) {
    this.#data = data;
    this.#warn = warn;
  }

  async claim(budget: LinkBudget, period: CurrentPeriod, bytes: number): Promise<number> {
    let granted = 0;
    await this.#change(budget, period, (claimed) => {
      granted = Math.max(0, Math.min(bytes, budget.bytes - claimed));
      return claimed + granted;
    });
    return granted;
  }

  async release(budget: LinkBudget, period: CurrentPeriod, bytes: number): Promise<void> {
    await this.#change(budget, period, (claimed) => Math.max(0, claimed - bytes));
  }

  async read(budget: LinkBudget, period: CurrentPeriod): Promise<number> {
    return claimedIn(await this.#readFile(), budget, period);
  }

  async #change(budget: LinkBudget, period: CurrentPeriod, change: (claimed: number) => number): Promise<void> {
    await createFolder(this.#data);
    using lock = await Deno.open(`${this.#data}/${LOCK}`, { write: true, create: true });
    await waitForLock(lock, LOCK);
    const ledger = await this.#readFile();
    const before = claimedIn(ledger, budget, period);
    const bytes = change(before);
    if (bytes === before) return;
    const kept = ledger[keyOf(budget)];
    const name = kept !== undefined && kept.period > period.name ? kept.period : period.name;
    const changed: Ledger = { ...ledger, [keyOf(budget)]: { period: name, bytes } };
    const text = `${JSON.stringify({ claimed: changed })}\n`;
    const temporary = `${this.#data}/${FILE}.${crypto.randomUUID()}.tmp`;
    await writeFileDurably(`${this.#data}/${FILE}`, new TextEncoder().encode(text), { temporary });
  }

  async #readFile(): Promise<Ledger> {
    const text = await ifPresent(Deno.readTextFile(`${this.#data}/${FILE}`));
    if (text === undefined) return {};
    try {
      const { claimed } = JSON.parse(text);
      const entries = Object.entries(claimed as Ledger);
      if (entries.every(([, { period, bytes }]) => typeof period === "string" && Number.isSafeInteger(bytes))) {
        return claimed;
      }
    } catch {
      // Reported as below.
    }
    this.#warn(`${this.#data}/${FILE} is damaged: what was received so far is not counted`);
    return {};
  }
}

function keyOf({ host = "*", period }: LinkBudget): string {
  return `${host} ${period}`;
}

// A clock that was set back does not fill the budget again: a later period that is recorded goes on.
function claimedIn(ledger: Ledger, budget: LinkBudget, period: CurrentPeriod): number {
  const kept = ledger[keyOf(budget)];
  return kept === undefined || kept.period < period.name ? 0 : kept.bytes;
}
