import { Scrub } from "../../store/scrub.ts";
import type { Invocation } from "../command_line/command.ts";
import { nameSetting, type Settings } from "../command_line/settings.ts";
import { formatCount, formatSize, parseDuration } from "../console/quantity.ts";
import type { DiskStore } from "../../store/disk_store.ts";
import type { Log } from "./log.ts";
import { cannot, UsageError } from "../../oci/error.ts";

const DEFAULT_PERIOD = "30d";
const MIN_PERIOD = 1000;

/** Reads `--scrub` in milliseconds; 0 for never. @throws {UsageError} when it is not valid */
export function readScrubPeriod(
  invocation: Invocation,
  { config, configPath }: Pick<Settings, "config" | "configPath">,
): number {
  const what = nameSetting("scrub", invocation, configPath);
  const period = parseDuration(invocation.flag("scrub") ?? config.scrub ?? DEFAULT_PERIOD, what);
  if (period === 0 || period >= MIN_PERIOD) return period;
  throw new UsageError(cannot(`use ${what}`, "the duration must be at least 1s, or 0 for never"));
}

/** What the scrub of a server needs. */
interface ServerScrubOptions {
  /** The data folder. */
  readonly data: string;
  readonly store: DiskStore;
  /** See `ScrubOptions.period`. */
  readonly period: number;
  /** Reports whether clients are downloading. */
  readonly isBusy: () => boolean;
  readonly log: Log;
}

/** Starts the scrub of a server's store. */
export function startScrub({ data, store, period, isBusy, log }: ServerScrubOptions): Scrub {
  return new Scrub({
    ...{ root: data, store, period, isBusy },
    warn: (message) => log.write("warning", message),
    onCycle: ({ blobs, bytes, corrupt }) => {
      log.write("info", `checked the store: ${formatCount(blobs, "blob")}, ${formatSize(bytes)}, ${corrupt} corrupt`);
    },
  });
}
