// Sends hostile requests to a registry on this machine, and fails if one of them does harm:
//   deno run -A scripts/fuzz_requests.ts --count=100000 --seed=1 --minutes=20
// The registry runs from the sources, or is the executable $CRPE. If strace is installed, the script also checks every
// file and connection that the registry opens.
import { parseArgs } from "@std/cli/parse-args";
import { fuzzRequests } from "../tests/fuzz/fuzz_requests.ts";

const flags = parseArgs(Deno.args, { string: ["count", "seed", "minutes"] });
const seed = Number(flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const [count, minutes] = [Number(flags.count ?? 10_000), Number(flags.minutes ?? 30)];
if (![seed, count, minutes].every(Number.isFinite)) {
  throw new Error("Cannot run: --count, --seed and --minutes must be numbers");
}
console.log(`seed ${seed}, ${count} requests, at most ${minutes} minutes`);

const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "crpe-fuzz-" }));
const started = performance.now();
try {
  const { findings, statuses, done, peakMemory, isTraced } = await fuzzRequests({
    seed,
    count,
    folder,
    maxTime: minutes * 60_000,
    onProgress: (sent) => console.error(`${sent} of ${count}`),
  });
  const seconds = (performance.now() - started) / 1000;
  for (const status of Object.keys(statuses).sort()) {
    console.log(`${status.padEnd(8)}${`${statuses[status]}`.padStart(10)}`);
  }
  console.log(`${done} requests in ${seconds.toFixed(1)} s, ${Math.round(peakMemory / 2 ** 20)} MiB resident at most`);
  console.log(
    isTraced ? "every file and connection was checked" : "strace is not installed: files were not checked",
  );
  for (const finding of findings) console.log(`\nFOUND: ${finding}`);
  console.log(findings.length === 0 ? "nothing found" : `${findings.length} findings`);
  if (findings.length > 0 || done < count) Deno.exitCode = 1;
} finally {
  await Deno.remove(folder, { recursive: true });
}
