// Compares the compressor models with real compressors, and prints how many streams each predicts without a correction:
//   deno run -A scripts/delta/check_models.ts                        gzip, python3 (zlib) and go where installed
//   deno run -A scripts/delta/check_models.ts --go=GO1,GO2           with these Go toolchains (their `go` commands)
//   deno run -A scripts/delta/check_models.ts --peers=FOLDER         with the compressors of `scripts/peers/delta` alone
//   deno run -A scripts/delta/check_models.ts FILE.tgz… FOLDER…      existing gzip files, by the model that was chosen
// With --models=klauspost5,go1 only these models are tried, which is quicker.
// Every stream is described, rebuilt and compared. The exit status is 1 when one is not rebuilt exactly.
import { parseArgs } from "@std/cli/parse-args";
import process from "node:process";
import { makeInputs } from "./model_inputs.ts";
import { MODELS } from "../../lib/delta/models/all.ts";
import { findPeers } from "./peer_compressors.ts";
import { type Compressor, findCompressors } from "./real_compressors.ts";
import { checkStream, type StreamCheck } from "./check_stream.ts";

const flags = parseArgs(Deno.args, { string: ["go", "peers", "effort", "models", "size"] });
const options = {
  effort: flags.effort,
  models: MODELS.filter(({ id }) => flags.models === undefined || flags.models.split(",").includes(id)),
};
const rows = new Map<string, StreamCheck[]>();

function record(name: string, check: StreamCheck): void {
  if (!check.isExact) console.log(`NOT EXACT: ${check.source}`);
  rows.set(name, [...rows.get(name) ?? [], check]);
}

if (flags._.length > 0) await checkFiles(flags._.map(String));
else if (flags.peers !== undefined) await checkCompressors(await findPeers(flags.peers));
else await checkCompressors(await findCompressors(flags.go?.split(",") ?? ["go"]));
printTable();
if ([...rows.values()].flat().some(({ isExact }) => !isExact)) Deno.exitCode = 1;

async function checkCompressors(compressors: readonly Compressor[]): Promise<void> {
  const inputs = await makeInputs(Number(flags.size ?? 1_000_000));
  for (const { name, compress } of compressors) {
    for (const input of inputs) {
      const gzip = await compress(input.bytes);
      record(name, await checkStream(gzip, { ...options, source: `${name}: ${input.name}` }));
    }
    console.error(name);
  }
}

async function checkFiles(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    for await (const file of walk(path)) {
      const gzip = await Deno.readFile(file);
      if (gzip[0] !== 0x1f || gzip[1] !== 0x8b) continue;
      const check = await checkStream(gzip, { ...options, source: file });
      record(check.model, check);
    }
  }
}

async function* walk(path: string): AsyncGenerator<string> {
  const { isDirectory, isFile } = await Deno.lstat(path);
  if (isFile) yield path;
  if (!isDirectory) return;
  for await (const { name } of Deno.readDir(path)) yield* walk(`${path}/${name}`);
}

function printTable(): void {
  console.log(
    "| streams of | count | exact | without a correction | tokens | wrong | wrong headers | recipe, % of gzip |",
  );
  console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
  for (const [name, checks] of rows) {
    const sum = (value: (check: StreamCheck) => number) => checks.reduce((total, check) => total + value(check), 0);
    const cells = [
      ...[name, checks.length, sum(({ isExact }) => Number(isExact)), sum(({ isPredicted }) => Number(isPredicted))],
      ...[sum(({ tokens }) => tokens), sum(({ wrongTokens }) => wrongTokens), sum(({ wrongHeaders }) => wrongHeaders)],
      (100 * sum(({ recipeBytes }) => recipeBytes) / sum(({ gzipBytes }) => gzipBytes)).toFixed(3),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
  const { user, system } = process.cpuUsage();
  console.log(`${((user + system) / 1e6).toFixed(1)} CPU seconds`);
}
