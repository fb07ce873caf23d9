// Reads mutated inputs one after the other, and fails if one of them does harm:
//   deno run -A scripts/fuzz_inputs.ts --minutes=120                      all targets in turn
//   deno run -A scripts/fuzz_inputs.ts --target="deltas of layers" --count=20000 --seed=1
//   deno run -A scripts/fuzz_inputs.ts --target=records --seed=1 --case=4711
import { parseArgs } from "@std/cli/parse-args";
import { FUZZ_TARGETS } from "../tests/fuzz/fuzz_targets.ts";
import { fuzzInputs } from "../tests/fuzz/fuzz_inputs.ts";

const flags = parseArgs(Deno.args, { string: ["target", "seed", "case", "count", "minutes"] });
const seed = Number(flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const most = Number(flags.count ?? Number.MAX_SAFE_INTEGER);
const [minutes, only] = [
  Number(flags.minutes ?? (flags.count ? 600 : 5)),
  flags.case === undefined ? undefined : Number(flags.case),
];
const targets = FUZZ_TARGETS.filter(({ name }) => flags.target === undefined || name === flags.target);
if (![seed, minutes, most, only ?? 0].every(Number.isFinite) || targets.length === 0) {
  const names = FUZZ_TARGETS.map(({ name }) => `"${name}"`).join(", ");
  throw new Error(`Cannot run: --seed, --case, --count and --minutes must be numbers, and --target one of ${names}`);
}
console.log(`seed ${seed}, ${minutes} minutes`);
const end = performance.now() + minutes * 60_000;
// Each target gets the same time, several times over.
const SLICE = Math.min(60_000, minutes * 60_000 / targets.length);
// In memory a sync costs nothing.
const memory = await Deno.stat("/dev/shm").then(() => "/dev/shm", () => undefined);
let found = 0;
const done = new Map<string, number>();
const isDone = () => targets.every(({ name }) => (done.get(name) ?? 0) >= most);
while (performance.now() < end && found === 0 && !isDone()) {
  for (const target of targets) {
    const first = only ?? done.get(target.name) ?? 0;
    const until = Math.min(end, performance.now() + SLICE);
    const folder = await Deno.makeTempDir({ prefix: "crpe-fuzz-", ...(memory ? { dir: memory } : {}) });
    try {
      const count = only === undefined ? most - first : 1;
      const isOver = () => performance.now() > until;
      const result = await fuzzInputs(target, { seed, first, count, folder: await Deno.realPath(folder), isOver });
      done.set(target.name, first + result.done);
      const outcomes = Object.entries(result.outcomes).map(([outcome, number]) => `${outcome} ${number}`);
      console.log(`${target.name}: ${first + result.done} cases; ${outcomes.sort().join(", ")}`);
      found += result.findings.length;
      for (const finding of result.findings) console.log(`FOUND: ${finding}`);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
  if (only !== undefined) break;
}
console.log(found === 0 ? "nothing found" : `${found} findings; reproduce: --target="…" --seed=${seed} --case=NUMBER`);
if (found > 0) Deno.exitCode = 1;
