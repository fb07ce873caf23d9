/**
 * Prints how fast gzip streams are rebuilt from their plain bytes by the model that predicts them, in MB of gzip for each
 * CPU second of this process; the best of three. Reading and hashing is not part of it.
 *
 *   deno run -A scripts/delta/rebuild_rate.ts LAYER.tar.gz…
 */
import process from "node:process";
import { describeGzip } from "../../lib/delta/describe_gzip.ts";
import { modelById, MODELS } from "../../lib/delta/models/all.ts";
import { rebuildGzip } from "../../lib/delta/rebuild_gzip.ts";

const ROUNDS = 3;
const CHUNK_BYTES = 256 << 10;

async function* chunksOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES);
}

for (const path of Deno.args) {
  const gzip = await Deno.readFile(path);
  const parts: Uint8Array[] = [];
  const recipe = await describeGzip(chunksOf(gzip), {
    models: MODELS,
    effort: "normal",
    plain: (bytes) => void parts.push(bytes.slice()),
  });
  if (recipe === undefined) throw new Error(`No model predicts ${path}`);
  const plain = new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    let at = 0;
    for await (const piece of rebuildGzip(chunksOf(plain), recipe, { findModel: modelById })) at += piece.length;
    if (at !== gzip.length) throw new Error(`${path} was not rebuilt`);
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1e6);
  }
  const megabytes = gzip.length / 1e6;
  const { id, version } = recipe.model;
  console.log(
    `${path}: ${id}/${version}, ${megabytes.toFixed(1)} MB, ${best.toFixed(2)} CPU s, ${
      (megabytes / best).toFixed(1)
    } MB/s`,
  );
}
