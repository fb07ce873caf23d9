import { addDeltas, type DeltaPack } from "../../bundle/pack_deltas.ts";
import type { PreparedPack } from "../../bundle/prepare_pack.ts";
import type { Effort } from "../../delta/models/model.ts";
import type { Invocation } from "../command_line/command.ts";
import type { Io } from "../console/io.ts";
import { createProgress } from "../console/progress.ts";
import type { AnyStore } from "../wiring/open_store.ts";
import type { Exclusions } from "../wiring/read_exclusions.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** What deltas are made from, and how. */
interface PackDeltasOptions {
  readonly store: AnyStore;
  readonly site: Exclusions | undefined;
  readonly effort: Effort;
  readonly isQuiet: boolean;
}

const EFFORTS: readonly Effort[] = ["fast", "normal", "max"];

/** Reads `--delta-effort`; `undefined` with `--no-delta`. */
export function readEffort(invocation: Invocation): Effort | undefined {
  const text = invocation.flag("delta-effort");
  if (invocation.isSet("no-delta")) {
    if (text !== undefined) throw new UsageError(cannot("use --delta-effort with --no-delta"));
    return undefined;
  }
  const effort = EFFORTS.find((it) => it === (text ?? "normal"));
  if (effort === undefined) {
    throw new UsageError(cannot(`use --delta-effort=${text}`, `write one of ${EFFORTS.join(", ")}`));
  }
  return effort;
}

/** Makes deltas of a pack, with their progress; none where nothing is known of the site. */
export async function packDeltas(
  pack: PreparedPack,
  options: PackDeltasOptions | undefined,
  io: Io,
): Promise<DeltaPack> {
  const { site, store, effort, isQuiet } = options ?? {};
  if (options === undefined || site === undefined || site.models.size === 0) {
    return { pack, whole: [], [Symbol.dispose]: () => {} };
  }
  let [shown, progress] = [0, createProgress(io, "delta", { quiet: true })];
  const { have, models } = site;
  try {
    return await addDeltas(pack, {
      ...{ store: store!, have, models, effort: effort! },
      onProgress: ({ number, count, bytes }) => {
        if (number !== shown) {
          progress.finish();
          progress = createProgress(io, "delta", { quiet: isQuiet === true, item: `layer ${number} of ${count}` });
          shown = number;
        }
        progress.update(bytes);
      },
    });
  } finally {
    progress.finish();
  }
}
