import { isRegistryHost, normalizeHost } from "../../oci/reference.ts";
import type { LinkBudget, LinkLimits, TimeWindow } from "../../upstream/link/link_limits.ts";
import { formatSize, parseSize } from "../console/quantity.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** The flags or fields about a thin link, as given. */
interface LinkTexts {
  readonly rate: string | undefined;
  readonly budgets: readonly string[];
  readonly windows: readonly string[];
  /** See `Settings.nameOf`. */
  readonly nameOf: (setting: string) => string;
}

// Below it, concurrent transfers would be so slow that they count as stalled.
const MIN_RATE = 4 * 1024;
const MIN_BUDGET = 1024 * 1024;

/** Reads the limits of a link; `undefined` when there are none. @throws {UsageError} when a text is not valid */
export function readLinkLimits({ rate, budgets, windows, nameOf }: LinkTexts): LinkLimits | undefined {
  if (rate === undefined && budgets.length === 0 && windows.length === 0) return undefined;
  const read = budgets.map((text) => readBudget(text, nameOf("budget")));
  const twice = read.find((one, index) =>
    read.findIndex((it) => it.host === one.host && it.period === one.period) < index
  );
  if (twice !== undefined) {
    throw new UsageError(
      cannot(`use ${nameOf("budget")}`, `there are two of ${twice.host ?? "all registries"} a ${twice.period}`),
    );
  }
  return {
    rate: rate === undefined ? undefined : readRate(rate, nameOf("limit-rate")),
    budgets: read,
    windows: windows.map((text) => readWindow(text, nameOf("window"))),
  };
}

/** Parses `2MiB/s`. @param what the name of the flag or field, for errors @throws {UsageError} */
export function readRate(text: string, what = "--limit-rate"): number {
  const [, size] = /^(.+?)(?:\/s)?$/.exec(text) ?? [];
  const rate = parseSize(size ?? text, what);
  if (rate >= MIN_RATE) return rate;
  throw new UsageError(cannot(`use ${what} ${JSON.stringify(text)}`, `the least is ${formatSize(MIN_RATE)}/s`));
}

/** Parses `[HOST=]500MiB/day` and `[HOST=]10GiB/month`. */
function readBudget(text: string, what: string): LinkBudget {
  const refuse = (reason: string) => new UsageError(cannot(`use ${what} ${JSON.stringify(text)}`, reason));
  const [, host, size, period] = /^(?:([^=]*)=)?([^=/]+)\/(day|month)$/.exec(text) ?? [];
  if (size === undefined || (period !== "day" && period !== "month")) {
    throw refuse("write SIZE/day or SIZE/month, with HOST= before it for one registry, such as ghcr.io=500MiB/day");
  }
  if (host !== undefined && !isRegistryHost(host)) throw refuse("write HOST as in image names, such as ghcr.io");
  const bytes = parseSize(size, what);
  if (bytes < MIN_BUDGET) throw refuse(`the least is ${formatSize(MIN_BUDGET)}`);
  return { host: host === undefined ? undefined : normalizeHost(host), bytes, period };
}

/** Parses `01:00-05:00`. */
function readWindow(text: string, what: string): TimeWindow {
  const [, ...parts] = /^(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})$/.exec(text) ?? [];
  const [h1 = 99, m1 = 99, h2 = 99, m2 = 99] = parts.map(Number);
  const [from, to] = [h1 * 60 + m1, h2 * 60 + m2];
  if (m1 > 59 || m2 > 59 || from > 24 * 60 || to > 24 * 60 || from === to) {
    throw new UsageError(
      cannot(`use ${what} ${JSON.stringify(text)}`, "write HH:MM-HH:MM in local time, such as 01:00-05:00"),
    );
  }
  return { from, to };
}
