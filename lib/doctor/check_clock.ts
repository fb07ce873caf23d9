import { listFolder } from "../files/if_present.ts";
import { BLOBS, INGEST } from "../store/layout.ts";
import type { Finding } from "./finding.ts";

/** The clock, and what it is compared with. */
interface ClockOptions {
  /** The time of the clock, in milliseconds since 1970. */
  readonly now: number;
  /** The release date of the program, in milliseconds since 1970. The current time cannot be earlier. */
  readonly released: number;
  /** How far the registries' clocks are ahead of this machine's, in milliseconds, by their responses. */
  readonly offsets: readonly number[];
}

// Files may have been written by a machine whose clock is slightly ahead, and some file systems round times.
const TOLERANCE = 60_000;
// In milliseconds. A certificate in use is rarely younger than that, so a smaller offset does no harm.
const MAX_OFFSET = 5 * 60_000;

/** Checks whether the clock is plausible: a machine without a clock chip starts in the past. */
export async function checkClock(root: string, { now, released, offsets }: ClockOptions): Promise<Finding> {
  const step = "clock";
  const shown = new Date(now).toISOString();
  const broken = (reason: string): Finding => ({
    step,
    status: "broken",
    message: `it shows ${shown}, ${reason}`,
    advice: "set it (timedatectl, or date -s): with a wrong clock, certificates appear expired or not yet valid",
  });
  const dayOf = (time: number) => new Date(time).toISOString();
  if (now < released) return broken(`but this release dates from ${dayOf(released).slice(0, 10)}`);
  const newest = await findNewest(root);
  if (newest !== undefined && newest > now + TOLERANCE) {
    return broken(`but the newest file of the store dates from ${dayOf(newest)}`);
  }
  const offset = offsets.toSorted((a, b) => a - b)[Math.floor(offsets.length / 2)];
  if (offset !== undefined && Math.abs(offset) > MAX_OFFSET) {
    return broken(`but the registries report ${dayOf(now + offset)}`);
  }
  return { step, status: "ok", message: `it shows ${shown}${offset === undefined ? "" : ", as the registries do"}` };
}

/**
 * Returns when content was last added to the store, in milliseconds since 1970; `undefined` for an empty store. It reads
 * the times of folders only: a folder's time is that of its newest entry.
 */
async function findNewest(root: string): Promise<number | undefined> {
  const folders = [`${root}/${INGEST}`];
  // A folder that cannot be read is reported by the check of the data folder.
  const list = async (folder: string) => await listFolder(folder).catch(() => undefined) ?? [];
  for (const { name } of await list(`${root}/${BLOBS}`)) {
    const entries = await list(`${root}/${BLOBS}/${name}`);
    folders.push(...entries.map((entry) => `${root}/${BLOBS}/${name}/${entry.name}`));
  }
  const times = await Promise.all(folders.map(async (folder) => {
    try {
      return (await Deno.stat(folder)).mtime?.getTime();
    } catch {
      return undefined;
    }
  }));
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}
