// Imports mutated bundles one after the other, and fails if one of them does harm:
//   deno run -A scripts/fuzz_bundles.ts --count=20000 --seed=1
//   deno run -A scripts/fuzz_bundles.ts --signed ...    signed bundles, of which only those with a trusted key may be imported
//   deno run -A scripts/fuzz_bundles.ts --http ...      the same, sent to a running agent over HTTP
//   deno run -A scripts/fuzz_bundles.ts --seed=1 --case=4711 --write=case.tgz    only that case, and write its file
import { parseArgs } from "@std/cli/parse-args";
import { makeBundleSeeds } from "../tests/fuzz/bundle_seeds.ts";
import { fuzzAgent } from "../tests/fuzz/fuzz_agent.ts";
import { fuzzBundles } from "../tests/fuzz/fuzz_bundles.ts";
import { mutateBundle } from "../tests/fuzz/mutate_bundle.ts";

const flags = parseArgs(Deno.args, {
  boolean: ["signed", "http"],
  string: ["count", "seed", "case", "write", "folder"],
});
const seed = Number(flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const [first, count] = flags.case === undefined ? [0, Number(flags.count ?? 2000)] : [Number(flags.case), 1];
const isSigned = flags.signed || flags.http;
if (![seed, first, count].every(Number.isSafeInteger)) {
  throw new Error("Cannot run: --count, --seed and --case must be numbers");
}
console.log(`seed ${seed}, ${count} cases from ${first}`);

if (flags.write !== undefined) {
  const { bytes, seed: { name }, what } = mutateBundle(await makeBundleSeeds(isSigned), seed, first);
  await Deno.writeFile(flags.write, bytes);
  console.log(`${flags.write}: ${bytes.length} bytes, from "${name}": ${what}`);
}

const folder = await Deno.makeTempDir({ prefix: "crpe-fuzz-", ...(flags.folder ? { dir: flags.folder } : {}) });
const started = performance.now();
try {
  const onCase = (number: number) => {
    if (number % 1000 === 999) console.error(`${number + 1 - first} of ${count}`);
  };
  const { findings, table, peakMemory } = flags.http
    ? await fuzzAgent({ seed, first, count, folder, onCase })
    : await fuzzBundles({ seed, first, count, isSigned, folder, onCase });
  printTable(table);
  const seconds = (performance.now() - started) / 1000;
  console.log(`${count} cases in ${seconds.toFixed(1)} s, ${Math.round(peakMemory / 2 ** 20)} MiB resident at most`);
  for (const { number, seed: from, what, message } of findings) {
    console.log(`\nFOUND in case ${number} (${from}: ${what}): ${message}`);
    console.log(
      `reproduce: deno run -A scripts/fuzz_bundles.ts ${
        flags.http ? "--http " : isSigned ? "--signed " : ""
      }--seed=${seed} --case=${number} --write=case.tgz`,
    );
  }
  console.log(findings.length === 0 ? "nothing found" : `${findings.length} findings`);
  if (findings.length > 0) Deno.exitCode = 1;
} finally {
  await Deno.remove(folder, { recursive: true });
}

function printTable(table: Readonly<Record<string, number>>): void {
  const cells = Object.entries(table).map(([key, number]) => [...key.split("\t"), number] as [string, string, number]);
  const outcomes = [...new Set(cells.map(([, outcome]) => outcome))].sort();
  const rows = [...new Set(cells.map(([row]) => row))];
  const line = (row: string, values: readonly (string | number)[]) => {
    console.log(row.padEnd(24) + values.map((value) => `${value}`.padStart(16)).join(""));
  };
  line("", outcomes);
  for (const row of rows) line(row, outcomes.map((outcome) => table[`${row}\t${outcome}`] ?? 0));
}
