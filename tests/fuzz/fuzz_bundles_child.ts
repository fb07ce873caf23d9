// The process that imports the bundles, with permission to write below one folder only:
// fuzz_bundles_child.ts FOLDER SEED FIRST COUNT [signed]
// Prints the number of each case before it starts, the findings, and at the end a table and the memory in use. Then it
// waits until its standard input ends, so that the parent can inspect it.
import { BundleFixture, FindingError } from "./bundle_fixture.ts";
import { makeBundleSeeds } from "./bundle_seeds.ts";
import { mutateBundle } from "./mutate_bundle.ts";

const [folder = "", ...numbers] = Deno.args;
const [seed = 0, first = 0, count = 0] = numbers.map(Number);
const encoder = new TextEncoder();
const say = (line: string) => Deno.stdout.writeSync(encoder.encode(`${line}\n`));
const seeds = await makeBundleSeeds(Deno.args[4] === "signed");
const fixture = await BundleFixture.create(folder, seeds);
const rejections: unknown[] = [];
// Added only now, so that rejections during the preparation still end the process.
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  rejections.push(event.reason);
});
const table: Record<string, number> = {};
for (let number = first; number < first + count; number++) {
  say(`case ${number}`);
  const bundle = mutateBundle(seeds, seed, number);
  let outcome: string;
  try {
    outcome = await fixture.run(bundle);
    // Unhandled rejections are reported in a later turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (rejections.length > 0) {
      throw new FindingError(`unhandled rejection: ${String(rejections.splice(0).map(textOf))}`);
    }
    const isExpected = outcome === "imported" || (outcome === "nothing to do" && bundle.before === "itself") ||
      bundle.freeBytes < 1_000_000 || (bundle.seed.needsBase && bundle.before === "nothing");
    if (bundle.level === "none" && !isExpected) throw new FindingError(`an unchanged bundle ended with ${outcome}`);
  } catch (error) {
    outcome = "FINDING";
    say(`finding ${JSON.stringify({ number, seed: bundle.seed.name, what: bundle.what, message: textOf(error) })}`);
  }
  // Keeps the garbage of many cases out of the peak memory.
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

// V8's garbage collector, exposed by --expose-gc.
function gc(): void {
  (globalThis as { gc?: () => void }).gc?.();
}
