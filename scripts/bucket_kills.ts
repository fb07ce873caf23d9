/**
 * Kills replicas of crpe and processes of the object storage while images are pulled, stored and collected, and then looks
 * whether something is missing. Exits with status 1 when a client got wrong bytes, or when an image that `crpe pull` has
 * stored is not in the bucket.
 *
 *   deno run -A scripts/bucket_kills.ts [--kills=100] [--seed=N]
 *
 * $CRPE names an executable; without it the sources run. $CRPE_S3 is the folder that scripts/peers/s3 has printed.
 */
import { parseArgs } from "@std/cli/parse-args";
import { computeDigest } from "../lib/oci/digest.ts";
import { parseManifest, successorsOf } from "../lib/oci/manifest.ts";
import { createRegistryHandler } from "../lib/registry/handler.ts";
import { type CrpeProcess, runCrpe, spawnCrpe } from "../tests/support/crpe_process.ts";
import { buildImage } from "../tests/support/images.ts";
import { MemoryStore } from "../tests/support/memory_store.ts";
import { S3_BUCKET, s3Environment } from "../tests/support/object_storage.ts";
import { writeImage } from "../tests/support/put_image.ts";
import { Random } from "../tests/support/random.ts";
import { startWeedCluster, WEED_PROCESSES } from "../tests/support/weed_cluster.ts";

const flags = parseArgs(Deno.args, { string: ["kills", "seed"] });
const kills = Number(flags.kills ?? 100);
const seed = Number(flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const random = new Random(seed);
const REPLICAS = 3;
const CLIENTS = 4;
const IMAGES = 24;
const ACCEPT = { accept: "application/vnd.oci.image.manifest.v1+json" };

const counts: Record<string, number> = {};
const count = (what: string) => void (counts[what] = (counts[what] ?? 0) + 1);
const problems: string[] = [];
const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

console.log(`seed ${seed}`);
const home = await Deno.makeTempDir({ prefix: "crpe-bucket-kills-" });
await using cluster = await startWeedCluster();
await using upstream = await startUpstream();
const env = { HOME: home, ...s3Environment(cluster) };
const place = [`--store=s3://${S3_BUCKET}/kills`, `--upstream=registry.test=http://127.0.0.1:${upstream.addr.port}`];

/** A registry with images that share a layer. */
async function startUpstream(): Promise<Deno.HttpServer<Deno.NetAddr>> {
  const store = new MemoryStore();
  const bytes = (size: number) =>
    Array.from({ length: size / 65536 }, () => crypto.getRandomValues(new Uint8Array(65536)));
  const shared = { "shared.bin": new Uint8Array(await new Blob(bytes(2 ** 20)).arrayBuffer()) };
  for (let i = 0; i < IMAGES; i++) {
    const own = new Uint8Array(await new Blob(bytes(2 ** 18 * (1 + i % 4))).arrayBuffer());
    await writeImage(store, `registry.test/app:${i}`, buildImage({ files: [shared, { "own.bin": own }] }));
  }
  const handler = createRegistryHandler(store);
  return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const url = new URL(request.url);
    url.pathname = url.pathname.replace("/v2/app/", "/v2/registry.test/app/");
    return handler(new Request(url, request));
  });
}

let isOver = false;
const replicas: (CrpeProcess | undefined)[] = [];

/** Keeps a replica running: one that was killed is started again, with the data that it had. */
async function keepRunning(index: number): Promise<void> {
  while (!isOver) {
    const crpe = spawnCrpe(
      ["registry", "--addr=127.0.0.1:0", "--quiet", `--data=${home}/replica-${index}`, "--cache-max=8MiB", ...place],
      { env },
    );
    // It does not start while the storage is away.
    const url = await Promise.race([crpe.listening.catch(() => undefined), crpe.finished.then(() => undefined)]);
    if (url !== undefined) {
      replicas[index] = { ...crpe, url };
      if (isOver) crpe.kill("SIGKILL");
      await crpe.finished;
      replicas[index] = undefined;
    }
    count("starts of a replica");
    await sleep(200);
  }
}

/** Pulls an image. @returns whether it is complete @throws {Error} when bytes are wrong */
async function pullFrom(url: string, tag: number): Promise<boolean> {
  const read = async (path: string): Promise<Uint8Array | undefined> => {
    try {
      const response = await fetch(`${url}/v2/registry.test/app/${path}`, { headers: ACCEPT });
      const body = await response.bytes();
      return response.ok ? body : undefined;
    } catch {
      // It was killed, or the storage was.
      return undefined;
    }
  };
  const bytes = await read(`manifests/${tag}`);
  if (bytes === undefined) return false;
  const manifest = parseManifest(bytes, ACCEPT.accept);
  for (const { digest } of successorsOf(manifest)) {
    const blob = await read(`blobs/${digest}`);
    if (blob === undefined) return false;
    if (computeDigest(blob) !== digest) throw new Error(`${digest} of image ${tag} has other bytes`);
  }
  return true;
}

async function runClient(own: Random): Promise<void> {
  while (!isOver) {
    const replica = replicas[own.below(REPLICAS)];
    if (replica === undefined) await sleep(50);
    else {
      const isComplete = await pullFrom(replica.url, own.below(IMAGES)).catch((error) => problems.push(error.message));
      count(isComplete === true ? "images pulled by clients" : "images that clients did not get");
    }
  }
}

/** What `crpe pull` has stored, by its own word. */
const stored = new Set<number>();
let child: { kill(signal: Deno.Signal): void } | undefined;

async function runCommands(own: Random): Promise<void> {
  while (!isOver) {
    const tag = own.below(IMAGES);
    const isGc = own.below(4) === 0;
    const args = isGc ? ["gc"] : ["pull", `registry.test/app:${tag}`];
    const crpe = spawnCrpe([...args, `--data=${home}/commands`, ...(isGc ? place.slice(0, 1) : place)], { env });
    child = crpe;
    const { code, stderr } = await crpe.finished;
    child = undefined;
    if (code === 0 && !isGc) stored.add(tag);
    count(`${isGc ? "gc" : "pull"}: ${code === 0 ? "done" : "failed or killed"}`);
    if (code === 70) problems.push(stderr);
  }
}

const targets: readonly (() => Promise<void>)[] = [
  ...Array.from({ length: REPLICAS }, (_, index) => () => Promise.resolve(replicas[index]?.kill("SIGKILL"))),
  () => Promise.resolve(child?.kill("SIGKILL")),
  () => Promise.resolve(child?.kill("SIGKILL")),
  // Not the master: its election takes half a minute, in which nothing can be written.
  ...WEED_PROCESSES.filter((name) => name !== "master").map((name) => async () => {
    await cluster.kill(name);
    await sleep(random.below(500));
    cluster.restart(name);
  }),
];

const work = [
  ...Array.from({ length: REPLICAS }, (_, index) => keepRunning(index)),
  ...Array.from({ length: CLIENTS }, (_, index) => runClient(new Random(seed + 1 + index))),
  runCommands(new Random(seed + 100)),
];
for (let kill = 0; kill < kills; kill++) {
  await sleep(random.below(1500));
  await targets[random.below(targets.length)]!();
  if (kill % 20 === 19) console.log(`${kill + 1} kills`, JSON.stringify(counts));
}
isOver = true;
for (const replica of replicas) replica?.kill("SIGKILL");
await Promise.all(work);
await cluster.isReady();

// A collection that ends, and then what a new process serves, which has nothing but the bucket.
const collect = () => runCrpe(["gc", `--data=${home}/commands`, ...place.slice(0, 1)], { env });
let gc = await collect();
// One that was killed holds its lease for a while.
for (let tries = 0; tries < 100 && gc.stderr.includes("another collection is in progress"); tries++) {
  await sleep(2000);
  gc = await collect();
}
if (gc.code !== 0) problems.push(`gc ended with ${gc.code}: ${gc.stderr}`);
{
  const crpe = spawnCrpe(
    ["registry", "--addr=127.0.0.1:0", "--quiet", `--data=${home}/last`, "--offline", ...place.slice(0, 1)],
    { env },
  );
  const url = await crpe.listening;
  for (const tag of stored) {
    const isComplete = await pullFrom(url, tag).catch((error) => problems.push(error.message));
    if (isComplete !== true) problems.push(`image ${tag}, which was stored, is not complete`);
  }
  crpe.kill("SIGKILL");
  await crpe.finished;
}
await Deno.remove(home, { recursive: true });
console.log(JSON.stringify({ kills, seed, stored: stored.size, ...counts }));
for (const problem of new Set(problems)) console.error(problem);
if (problems.length > 0 || stored.size === 0) Deno.exitCode = 1;
