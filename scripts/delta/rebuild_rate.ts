/**
 * Prints how fast layers are rebuilt from their deltas, in MB of gzip for each CPU second of this process; the best of
 * three: with the tokens that are copied from the old layer, and by the model alone. Inflating the old layer, and hashing,
 * are not part of it.
 *
 *   deno run -A scripts/delta/rebuild_rate.ts OLD.tar.gz NEW.tar.gz [OLD.tar.gz NEW.tar.gz]…
 */
import process from "node:process";
import { rebuildLayer } from "../../lib/delta/apply_delta.ts";
import { COPIED_NAME, namesOfModels } from "../../lib/delta/delta_format.ts";
import { type MadeDelta, makeDelta } from "../../lib/delta/make_delta.ts";
import { modelNames } from "../../lib/delta/models/all.ts";
import { OldLayers } from "../../lib/delta/old_layers.ts";
import { computeDigest } from "../../lib/oci/digest.ts";
import { DiskStore } from "../../lib/store/disk_store.ts";

const ROUNDS = 3;

async function inputOf(path: string) {
  const digest = computeDigest(await Deno.readFile(path));
  const { size } = await Deno.stat(path);
  return { digest, size, open: async () => (await Deno.open(path)).readable };
}

const data = await Deno.makeTempDir({ prefix: "crpe-delta-" });
try {
  const store = new DiskStore(data);
  const openScratch = () => store.openScratch();
  for (let i = 0; i + 1 < Deno.args.length; i += 2) {
    const layer = await inputOf(Deno.args[i + 1]!);
    const options = { openScratch, effort: "normal" } as const;
    using old = await OldLayers.open([await inputOf(Deno.args[i]!)], options);
    const rate = async ({ file }: Pick<MadeDelta, "file">) => {
      let best = Infinity;
      for (let round = 0; round < ROUNDS; round++) {
        const before = process.cpuUsage();
        let at = 0;
        const bases = { openScratch, compressed: old.selectCompressed(old.ranges) };
        for await (const piece of rebuildLayer(file, old.select(old.ranges), bases)) at += piece.length;
        if (at !== layer.size) throw new Error(`${Deno.args[i + 1]} was not rebuilt`);
        const { user, system } = process.cpuUsage(before);
        best = Math.min(best, (user + system) / 1e6);
      }
      return `${(layer.size / 1e6 / best).toFixed(1)} MB/s`;
    };
    const made = await makeDelta(old, layer, options);
    if ("reason" in made) throw new Error(`Cannot make a delta of ${Deno.args[i + 1]}: ${made.reason}`);
    using all = made;
    const known = new Set(modelNames().filter((name) => name !== COPIED_NAME));
    const plain = await makeDelta(old, layer, { ...options, known });
    if ("reason" in plain) throw new Error(`Cannot make a delta of ${Deno.args[i + 1]}: ${plain.reason}`);
    using without = plain;
    console.log(
      `${Deno.args[i + 1]}: ${(layer.size / 1e6).toFixed(1)} MB, ${namesOfModels(all.header)} ${await rate(all)}, ` +
        `${namesOfModels(without.header)} ${await rate(without)}`,
    );
  }
} finally {
  await Deno.remove(data, { recursive: true });
}
