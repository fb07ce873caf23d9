import type { PackageRecords } from "../../install/package_records.ts";
import { endStalePending } from "../../install/stale_pending.ts";
import { formatRelease } from "../../kubepkg/package_id.ts";
import { describeError } from "../console/describe_error.ts";
import type { Log } from "./log.ts";

const HOUR = 60 * 60 * 1000;

/**
 * Ends pending packages of an agent that received nothing for a time, at the start and every hour.
 *
 * @param openRecords opens the records of the agent's packages
 * @param ttl that time in milliseconds
 */
export function startPendingExpiry(
  openRecords: () => Promise<PackageRecords>,
  { ttl, log }: { ttl: number; log: Log },
): void {
  const end = async () => {
    try {
      for (const { kubepkg } of await endStalePending(await openRecords(), { ttl })) {
        log.write(
          "warning",
          `the pending release ${formatRelease(kubepkg)} was ended: nothing of it was received in --pending-ttl`,
        );
      }
    } catch (error) {
      log.write("warning", `pending releases could not be checked: ${describeError(error)}`);
    }
  };
  end();
  Deno.unrefTimer(setInterval(end, HOUR));
}
