// The process that imports the bundles, with leave to write below one folder alone:
// fuzz_bundles_child.ts FOLDER SEED FIRST COUNT
// Prints the number of each case before it begins, what it finds, and at the end a table and the bytes of memory that are
// still in use. Then it waits to be looked at
// until its standard input ends.
import { BundleFixture, FindingError } from "./bundle_fixture.ts";
import { makeBundleSeeds } from "./bundle_seeds.ts";
import { mutateBundle } from "./mutate_bundle.ts";

const [folder = "", ...numbers] = Deno.args;
const [seed = 0, first = 0, count = 0] = numbers.map(Number);
const encoder = new TextEncoder();
const say = (line: string) => Deno.stdout.writeSync(encoder.encode(`${line}\n`));
const seeds = await makeBundleSeeds();
const fixture = await BundleFixture.create(folder, seeds);
const stray: unknown[] = [];
// Not before: it would be told of what goes wrong up to here, too.
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  stray.push(event.reason);
});
const table: Record<string, number> = {};
for (let number = first; number < first + count; number++) {
  say(`case ${number}`);
  const bundle = mutateBundle(seeds, seed, number);
  let outcome: string;
  try {
    outcome = await fixture.run(bundle);
    // What nobody waited for fails in a turn of its own.
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (stray.length > 0) throw new FindingError(`nobody caught ${String(stray.splice(0).map(textOf))}`);
    const isWell = outcome === "imported" || (outcome === "nothing to do" && bundle.before === "itself") ||
      bundle.freeBytes < 1_000_000 || (bundle.seed.needsBase && bundle.before === "nothing");
    if (bundle.level === "none" && !isWell) throw new FindingError(`nothing was changed, and it ended with ${outcome}`);
  } catch (error) {
    outcome = "FINDING";
    say(`finding ${JSON.stringify({ number, seed: bundle.seed.name, what: bundle.what, message: textOf(error) })}`);
  }
  // So that the largest size is that of single cases, and not of the garbage of many.
  if (number % 50 === 49) gc();
  for (const key of [`${bundle.level}\t${outcome}`, `${bundle.seed.name}\t${outcome}`]) {
    table[key] = (table[key] ?? 0) + 1;
  }
}
try {
  fixture.checkCanary();
} catch (error) {
  say(`finding ${JSON.stringify({ number: first, seed: "all", what: "all cases", message: textOf(error) })}`);
}
gc();
const { heapUsed, external } = Deno.memoryUsage();
say(`done ${JSON.stringify({ table, left: heapUsed + external })}`);
await Deno.stdin.read(new Uint8Array(1));

function textOf(error: unknown): string {
  return error instanceof Error && !(error instanceof FindingError) ? error.stack ?? error.message : String(error);
}

// V8's own, with --expose-gc.
function gc(): void {
  (globalThis as { gc?: () => void }).gc?.();
}
