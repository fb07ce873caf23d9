import { listFolder } from "../files/read_if_present.ts";
import { BLOBS, INGEST } from "../store/layout.ts";
import type { Finding } from "./finding.ts";

/** What the clock is held against. */
export interface ClockOptions {
  /** What the clock says, in milliseconds since 1970. */
  readonly now: number;
  /** When the program was made; it cannot run before that. */
  readonly released: number;
  /** How far registries' clocks are before ours, in milliseconds, by the answers that they gave. */
  readonly offsets: readonly number[];
}

// Files of another machine, whose clock may be a little before ours, and file systems that round.
const TOLERANCE = 60_000;
// A certificate is rarely younger than that.
const MAX_OFFSET = 5 * 60_000;

/** Looks whether the clock can be right: a machine without a clock chip starts in the past. */
export async function checkClock(root: string, { now, released, offsets }: ClockOptions): Promise<Finding> {
  const step = "clock";
  const said = new Date(now).toISOString();
  const broken = (reason: string): Finding => ({
    step,
    status: "broken",
    message: `it says ${said}, ${reason}`,
    advice: "set it (timedatectl, or date -s): certificates look not yet valid, or expired, when it is wrong",
  });
  const dayOf = (time: number) => new Date(time).toISOString();
  if (now < released) return broken(`and this release is of ${dayOf(released).slice(0, 10)}`);
  const newest = await findNewest(root);
  if (newest !== undefined && newest > now + TOLERANCE) {
    return broken(`and the newest file of the store is of ${dayOf(newest)}`);
  }
  const offset = offsets.toSorted((a, b) => a - b)[Math.floor(offsets.length / 2)];
  if (offset !== undefined && Math.abs(offset) > MAX_OFFSET) {
    return broken(`and registries say ${dayOf(now + offset)}`);
  }
  return { step, status: "ok", message: `it says ${said}${offset === undefined ? "" : ", as registries do"}` };
}

/**
 * When something was last added to the store, in milliseconds since 1970; `undefined` where nothing is. A folder is as
 * young as its newest entry, so that not every blob has to be looked at.
 */
async function findNewest(root: string): Promise<number | undefined> {
  const folders = [`${root}/${INGEST}`];
  for (const { name } of await listFolder(`${root}/${BLOBS}`) ?? []) {
    const entries = await listFolder(`${root}/${BLOBS}/${name}`) ?? [];
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
