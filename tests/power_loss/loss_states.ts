import { createHash } from "node:crypto";
import { Random } from "../support/random.ts";
import { listAfterLoss, type Survival } from "./disk_model.ts";
import type { SystemCall } from "./parse_trace.ts";
import { readFolder, TraceReplay } from "./replay_trace.ts";

/** What a disk may hold after a power loss. */
export interface LossState {
  /** The content of files, by their paths; `undefined` for a folder. */
  readonly files: ReadonlyMap<string, Uint8Array<ArrayBuffer> | undefined>;
  /** When the power failed, and what survived. */
  readonly what: string;
  /** Whether the program had reported success before. */
  readonly isReported: boolean;
}

/** How to find the states of a trace. */
export interface LossOptions {
  /** The folder that matters, as an absolute path; it has the content from before the first call. */
  readonly before: string;
  /** The path of that folder in the trace. */
  readonly folder: string;
  readonly seed: number;
  /** Whether a call reports success to a user or a client. */
  readonly isReport: (call: SystemCall) => boolean;
}

/**
 * Finds the different states of a disk that a power loss after any of the calls may leave: of the changes that are not
 * synced, none survive; only the names; the names and the sizes; only the bytes; some of all, at random.
 */
export function findLossStates(calls: readonly SystemCall[], options: LossOptions): LossState[] {
  const { before, folder, seed, isReport } = options;
  const replay = new TraceReplay(folder, readFolder(before));
  const random = new Random(seed);
  const [all, none] = [() => true, () => false];
  const some = () => random.chance(0.5);
  const survivals: Readonly<Record<string, Survival>> = {
    "nothing unsynced survives": { name: none, write: none, keepsSize: false },
    "only names survive": { name: all, write: none, keepsSize: false },
    "names and sizes survive": { name: all, write: none, keepsSize: true },
    "only bytes survive": { name: none, write: all, keepsSize: false },
    "some survives": { name: some, write: some, keepsSize: false },
    "some survives, with sizes": { name: some, write: some, keepsSize: true },
  };
  const found = new Map<string, LossState>();
  let isReported = false;
  for (const call of inOrder(calls)) {
    const isNews: boolean = !isReported && isReport(call);
    isReported ||= isNews;
    if (!replay.apply(call) && !isNews) continue;
    for (const [what, survival] of Object.entries(survivals)) {
      const files = listAfterLoss(replay.root, survival);
      // The same content after the report has to hold more.
      const key = `${isReported}\n${describe(files)}`;
      if (!found.has(key)) {
        found.set(key, { files, isReported, what: `${what} after ${call.name}, line ${call.ended}` });
      }
    }
  }
  return [...found.values()];
}

// A descriptor is free as soon as its close begins: another thread may get it before the call has ended.
function inOrder(calls: readonly SystemCall[]): SystemCall[] {
  const time = ({ name, began, ended }: SystemCall) => name === "close" ? began : ended;
  return calls.toSorted((a, b) => time(a) - time(b));
}

const hashes = new WeakMap<Uint8Array, string>();

function describe(files: LossState["files"]): string {
  const lines = [...files].map(([path, bytes]) => {
    if (bytes === undefined) return `${path}/`;
    let hash = hashes.get(bytes);
    if (hash === undefined) hashes.set(bytes, hash = createHash("sha256").update(bytes).digest("hex"));
    return `${path} ${hash}`;
  });
  return lines.sort().join("\n");
}

/** Replaces the content of a folder with that of a state. */
export async function writeState(folder: string, { files }: LossState): Promise<void> {
  await Deno.remove(folder, { recursive: true });
  await Deno.mkdir(folder);
  // A folder comes before what is in it.
  for (const [path, bytes] of files) {
    if (bytes === undefined) await Deno.mkdir(`${folder}/${path}`);
    else await Deno.writeFile(`${folder}/${path}`, bytes);
  }
}
