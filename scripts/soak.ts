/**
 * Loads an agent with everything at once: clients that pull (some of them give up), more images than its cache may hold,
 * garbage collection, imports, pushes (some of them are killed), and an upstream that fails, cuts its answers and falls
 * silent. Exits with status 1 if memory, open files or partial files grow, if a client gets wrong bytes, or if something is
 * left when the load is over.
 *
 *   deno run -A scripts/soak.ts [--duration=10m] [--limit=320MiB] [--seed=N] [--leak=files|partials]
 *
 * $CRPE names an executable; without it the sources run. --leak makes the script leak itself, to see that it would notice.
 */
import { parseArgs } from "@std/cli/parse-args";
import { parseDuration, parseSize } from "../lib/cli/console/quantity.ts";
import { Random } from "../tests/support/random.ts";
import type { UpstreamMood } from "./soak/dying_upstream.ts";
import { judgeGrowth, mediansOf, type SoakSample } from "./soak/judge_growth.ts";
import { createSoakFixture, PACKAGES, pullImage, type SoakFixture } from "./soak/soak_fixture.ts";

const flags = parseArgs(Deno.args, { string: ["duration", "limit", "seed", "leak"] });
const duration = parseDuration(flags.duration ?? "10m", "--duration");
// In the first minutes caches fill and code is compiled.
const MINUTES_OF_WARM_UP = 5;
const limits = {
  ...{ memory: (duration < MINUTES_OF_WARM_UP * 60_000 ? 96 : 24) * 2 ** 20, openFiles: 24, partialFiles: 12 },
  peakMemory: parseSize(flags.limit ?? "320MiB", "--limit"),
};
const seed = Number(flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const CLIENTS = 4;
const SAMPLES = 200;
/** What may stay open when the load is over: connections that are kept alive. */
const IDLE_FILES = 16;
const MOODS: readonly UpstreamMood[] = ["well", "well", "well", "failing", "cutting", "silent"];

const counts: Record<string, number> = {};
const count = (what: string) => void (counts[what] = (counts[what] ?? 0) + 1);
const problems: string[] = [];
const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

console.log(`seed ${seed}, ${duration / 1000} s`);
const random = new Random(seed);
await using soak = await createSoakFixture(random);
const before = soak.sample();
const end = performance.now() + duration;
const samples: SoakSample[] = [];
const leaked: Deno.TcpConn[] = [];
await Promise.all([
  ...Array.from({ length: CLIENTS }, () => repeat(0, pullOne)),
  // A silent upstream would hold the last pulls until their time limit.
  repeat(duration / 60 + 500, () => Promise.resolve(void (soak.upstream.mood = random.pick(MOODS))))
    .then(() => void (soak.upstream.mood = "well")),
  repeat(duration / 60 + 1000, collect),
  repeat(duration / 60 + 500, importOne),
  repeat(duration / 60 + 500, pushOne),
  // A leak of one for each sample is found on a slow machine too.
  repeat(duration / SAMPLES, async () => {
    samples.push(soak.sample());
    await leak(soak, flags.leak);
  }),
]);
problems.push(...judgeGrowth(samples, limits));
if (problems.length === 0) problems.push(...await checkRest());
report();

// Repeats a kind of load until the time is over.
async function repeat(pause: number, work: () => Promise<void>): Promise<void> {
  while (performance.now() < end) {
    await work().catch((error) => void problems.push(String(error)));
    if (problems.length > 10) return;
    await sleep(Math.min(pause, Math.max(0, end - performance.now())));
  }
}

async function pullOne(): Promise<void> {
  const index = random.chance(0.5) ? random.below(6) : random.below(soak.images.length);
  const signal = random.chance(0.1) ? AbortSignal.timeout(random.below(30)) : undefined;
  const outcome = await pullImage(soak, index, signal);
  count(`pulls ${outcome}`);
  if (outcome === "unavailable") await sleep(50);
}

async function collect(): Promise<void> {
  const { code, stderr } = await soak.run(["gc", "--data=site"]);
  // While an import or a push is running, there is no collection.
  count(code === 0 ? "collections" : "collections refused");
  if (code !== 0 && !stderr.includes("is in progress")) problems.push(`gc: ${stderr}`);
}

async function importOne(): Promise<void> {
  const version = 1 + random.below(2);
  const { code, stderr } = await soak.run([
    ...["import", `${PACKAGES[0]}-${version}.tgz`, "--data=site", "--manifests-dir=manifests", "--force"],
  ]);
  count("imports");
  if (code !== 0) problems.push(`import: ${stderr}`);
}

async function pushOne(): Promise<void> {
  const version = 1 + random.below(2);
  const killAfter = random.chance(0.4) ? 150 + random.below(400) : undefined;
  const { code, stderr } = await push(version, killAfter);
  count(killAfter === undefined || code === 0 ? "pushes" : "pushes killed");
  if (code !== 0 && killAfter === undefined) problems.push(`push: ${stderr}`);
}

function push(version: number, killAfter?: number): Promise<{ code: number; stderr: string }> {
  const token = "--token-file=site/kubepkg/.token";
  return soak.run(["push", `${PACKAGES[1]}-${version}.tgz`, `--to=${soak.url}`, token, "--force"], killAfter);
}

// Deliberate leaks: connections that are never closed, and files that no one removes.
async function leak({ url, data }: SoakFixture, kind: string | undefined): Promise<void> {
  if (kind === "files") {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(url).port) });
    await connection.write(new TextEncoder().encode("GET /v2/ HTTP/1.1\r\nHost: a\r\nX: "));
    leaked.push(connection);
  } else if (kind === "partials") {
    await Deno.writeTextFile(`${data}/ingest/${crypto.randomUUID()}.partial`, "");
  }
}

/** What is left when everything that was begun has been completed. */
async function checkRest(): Promise<string[]> {
  const found: string[] = [];
  for (const version of [1, 2]) {
    const { code, stderr } = await push(version);
    if (code !== 0) found.push(`the last push: ${stderr}`);
  }
  for (const index of soak.images.keys()) {
    let outcome = "";
    // An endpoint that did not answer is left alone for some seconds.
    for (let tries = 0; tries < 60 && outcome !== "pulled"; tries++) {
      outcome = await pullImage(soak, index).catch(String);
      if (outcome !== "pulled") await sleep(500);
    }
    if (outcome !== "pulled") found.push(`afterwards image ${index} is ${outcome}`);
  }
  let rest = soak.sample();
  const isQuiet = () => rest.openFiles <= before.openFiles + IDLE_FILES && rest.partialFiles === 0;
  for (let tries = 0; tries < 60 && !isQuiet(); tries++) {
    await sleep(250);
    rest = soak.sample();
  }
  if (!isQuiet()) {
    const names = [...Deno.readDirSync(`${soak.data}/ingest`)].map(({ name }) => name);
    found.push(
      `afterwards ${rest.openFiles} files are open (${before.openFiles} before), and there are ${names.join(", ")}`,
    );
  }
  const { code, stderr } = await soak.run(["verify", "--data=site"]);
  if (code !== 0) found.push(`verify: ${stderr}`);
  samples.push(rest);
  return found;
}

function report(): void {
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const peak = Math.max(...samples.map(({ memory }) => memory));
  const medians = mediansOf(samples.slice(0, -1).map(({ memory }) => memory));
  console.log(Object.entries(counts).map(([what, number]) => `${number} ${what}`).sort().join(", "));
  console.log(`memory: ${mib(before.memory)} before, ${medians.map(mib).join(" → ")}, ${mib(peak)} at most`);
  for (const name of ["openFiles", "partialFiles"] as const) {
    const values = samples.map((sample) => sample[name]);
    console.log(`${name}: ${before[name]} before, ${mediansOf(values).join(" → ")}, ${values.at(-1)} at the end`);
  }
  for (const connection of leaked) connection.close();
  for (const problem of problems) console.log(`FOUND: ${problem}`);
  console.log(problems.length === 0 ? "nothing grew" : `${problems.length} problems`);
  if (problems.length > 0) Deno.exitCode = 1;
}
