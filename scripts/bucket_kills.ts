/**
 * Kills replicas of crpe, commands and processes of the object storage while images are pulled, loaded and saved, packages are
 * imported and removed, and garbage is collected, and then looks whether something is missing. Exits with status 1 when a
 * client got wrong bytes or an incomplete image, or when something that a command has stored, by its own word, is not in the
 * bucket.
 *
 *   deno run -A scripts/bucket_kills.ts [--kills=100] [--engine=weed|versitygw] [--seed=N]
 *
 * Garbage is what is older than a day. For the collections, each second counts as 36 minutes: they work through a proxy that
 * states another age of the objects. $CRPE names an executable; without it the sources run. $CRPE_S3 is the folder that
 * scripts/peers/s3 has printed.
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
import { startS3Proxy } from "../tests/support/s3_proxy.ts";
import { startEngine } from "./bucket_kills/killed_engine.ts";
import { PACKAGE_HOST, PackageWork } from "./bucket_kills/package_work.ts";

const flags = parseArgs(Deno.args, { string: ["kills", "engine", "seed"] });
const kills = Number(flags.kills ?? 100);
const seed = Number(flags.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]);
const engineName = flags.engine === "versitygw" ? "versitygw" : "weed";
const random = new Random(seed);
const REPLICAS = 3;
const CLIENTS = 4;
const IMAGES = 24;
const MACHINES = 2;
const PACKAGES = 3;
/** What counts as a day for the collections, in seconds: longer than any command takes between a blob and what names it. */
const DAY_SECONDS = 40;
const ACCEPT = { accept: "application/vnd.oci.image.manifest.v1+json" };

const counts: Record<string, number> = {};
const count = (what: string, more = 1) => void (counts[what] = (counts[what] ?? 0) + more);
const problems: string[] = [];
const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));

console.log(`${engineName}, seed ${seed}`);
const home = await Deno.makeTempDir({ prefix: "crpe-bucket-kills-" });
await using engine = await startEngine(engineName);
await using upstream = await startUpstream();
const modified = (time: number) => Date.now() - (Date.now() - time) * 24 * 60 * 60 / DAY_SECONDS;
await using aged = await startS3Proxy(engine.url, { modified });
const env = { HOME: home, ...s3Environment(engine) };
const gcEnv = { HOME: home, ...s3Environment(aged) };
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

type Outcome = "complete" | "incomplete" | "unreachable" | "missing";

/** Pulls an image: `missing` without its tag, `incomplete` without a blob. @throws {Error} when bytes are wrong */
async function pullFrom(url: string, repository: string, tag: string): Promise<Outcome> {
  const read = async (path: string): Promise<Uint8Array | 404 | undefined> => {
    try {
      const response = await fetch(`${url}/v2/${repository}/${path}`, { headers: ACCEPT });
      const body = await response.bytes();
      return response.ok ? body : response.status === 404 ? 404 : undefined;
    } catch {
      // It was killed, or the storage was.
      return undefined;
    }
  };
  const bytes = await read(`manifests/${tag}`);
  if (bytes === 404) return "missing";
  if (bytes === undefined) return "unreachable";
  for (const { digest } of successorsOf(parseManifest(bytes, ACCEPT.accept))) {
    const blob = await read(`blobs/${digest}`);
    if (blob === 404) return "incomplete";
    if (blob === undefined) return "unreachable";
    if (computeDigest(blob) !== digest) throw new Error(`${digest} of ${repository}:${tag} has other bytes`);
  }
  return "complete";
}

async function runClient(own: Random): Promise<void> {
  while (!isOver) {
    const url = replicas[own.below(REPLICAS)]?.url;
    if (url === undefined) {
      await sleep(50);
      continue;
    }
    const packages = [...works.flatMap((work) => [...work.required().keys()])];
    const name = own.below(2) === 0 ? packages[own.below(packages.length)] : undefined;
    const [repository = "", tag = ""] = name?.split(/:(?=[^:]*$)/) ?? ["registry.test/app", `${own.below(IMAGES)}`];
    const pull = () =>
      pullFrom(url, repository, tag).catch((error) => {
        problems.push(error.message);
        return "unreachable" as const;
      });
    let outcome = await pull();
    if (outcome === "incomplete" && repository.startsWith(PACKAGE_HOST)) {
      // Its package may be removed at this moment. Replicas know that after some seconds.
      await sleep(15_000);
      outcome = await pull();
      if (outcome === "incomplete") problems.push(`${repository}:${tag} is half visible`);
    }
    count(`clients: ${outcome}`);
  }
}

/** What `crpe pull` has stored, by its own word. */
const stored = new Set<number>();
const children = new Set<{ kill(signal: Deno.Signal): void }>();

async function runCommand(machine: string, name: string, args: readonly string[]): Promise<string | undefined> {
  const own = args[0] === "gc" ? gcEnv : env;
  const crpe = spawnCrpe([...args, `--data=${home}/${machine}`], { env: own });
  // A collection that was killed keeps the others out for a minute.
  if (own !== gcEnv || random.below(4) === 0) children.add(crpe);
  const { code, stdout, stderr } = await crpe.finished;
  children.delete(crpe);
  count(`${name}: ${code === 0 ? "done" : "failed or killed"}`);
  // An internal error, and content that is corrupt or incomplete.
  if ([70, 4].includes(code)) problems.push(`${name} ended with ${code}: ${stderr}`);
  return code === 0 ? stdout : undefined;
}

async function runPulls(own: Random): Promise<void> {
  while (!isOver) {
    const tag = own.below(IMAGES);
    if (await runCommand("pulls", "pull", ["pull", `registry.test/app:${tag}`, ...place]) !== undefined) {
      stored.add(tag);
    }
  }
}

async function runPackages(machine: string, work: PackageWork, own: Random): Promise<void> {
  while (!isOver) {
    const { name, args, onEnd } = work.next(own);
    onEnd(await runCommand(machine, name, [...args, place[0]!]) !== undefined);
  }
}

async function runCollections(own: Random): Promise<void> {
  while (!isOver) {
    const args = ["gc", "--json", ...(own.below(2) === 0 ? ["--untagged"] : []), place[0]!];
    const report = await runCommand("gc", args.slice(0, -1).join(" "), args);
    if (report === undefined) await sleep(5000);
    else count("blobs removed by gc", JSON.parse(report).blobs);
    await sleep(own.below(2000));
  }
}

/** Kills something. @returns what; `undefined` if it does not run */
const targets: readonly (() => string | undefined | Promise<string>)[] = [
  ...Array.from({ length: REPLICAS }, (_, index) => () => {
    replicas[index]?.kill("SIGKILL");
    return replicas[index] && "replica";
  }),
  ...Array.from({ length: 3 }, () => () => {
    const child = [...children][random.below(children.size)];
    child?.kill("SIGKILL");
    return child && "command";
  }),
  ...engine.processes.map((name) => async () => {
    await engine.kill(name);
    await sleep(random.below(500));
    await engine.restart(name);
    return name;
  }),
];

await using machines = new AsyncDisposableStack();
const works: PackageWork[] = [];
for (let i = 0; i < MACHINES; i++) works.push(machines.use(await PackageWork.create(`machine-${i}`, PACKAGES)));
const work = [
  ...Array.from({ length: REPLICAS }, (_, index) => keepRunning(index)),
  ...Array.from({ length: CLIENTS }, (_, index) => runClient(new Random(seed + 1 + index))),
  runPulls(new Random(seed + 100)),
  runCollections(new Random(seed + 101)),
  ...works.map((it, index) => runPackages(`machine-${index}`, it, new Random(seed + 200 + index))),
];
for (let kill = 0; kill < kills;) {
  await sleep(random.below(4000));
  const killed = await targets[random.below(targets.length)]!();
  if (killed === undefined) continue;
  count(`kills: ${killed}`);
  if (++kill % 20 === 0) console.log(`${kill} kills`, JSON.stringify(counts));
}
isOver = true;
for (const replica of replicas) replica?.kill("SIGKILL");
await Promise.all(work);
await engine.isReady();

// A collection that ends, and then what a new process finds, which has nothing but the bucket.
const collect = () => runCrpe(["gc", "--json", `--data=${home}/gc`, place[0]!], { env: gcEnv });
let gc = await collect();
// One that was killed holds its lease for a while.
for (let tries = 0; tries < 100 && gc.stderr.includes("another collection is in progress"); tries++) {
  await sleep(2000);
  gc = await collect();
}
if (gc.code !== 0) problems.push(`gc ended with ${gc.code}: ${gc.stderr}`);
const last = [`--data=${home}/last`, place[0]!];
const verified = await runCrpe(["verify", ...last], { env });
if (verified.code !== 0) problems.push(`verify ended with ${verified.code}: ${verified.stdout}${verified.stderr}`);
const listed = await runCrpe(["packages", "--json", ...last], { env });
const packages: { metadata: { name: string }; spec: { version: string } }[] = JSON.parse(listed.stdout);
const installed = packages.map(({ metadata: { name }, spec: { version } }) => ({ name, version }));
for (const each of works) problems.push(...each.compare(installed));
let checked = 0;
{
  const crpe = spawnCrpe(["registry", "--addr=127.0.0.1:0", "--quiet", "--offline", ...last], { env });
  const url = await crpe.listening;
  const check = async (repository: string, tag: string, digest?: string) => {
    const outcome = await pullFrom(url, repository, tag).catch(({ message }) => message);
    if (outcome !== "complete") problems.push(`${repository}:${tag} is ${outcome}`);
    const { headers, body } = await fetch(`${url}/v2/${repository}/manifests/${tag}`, { headers: ACCEPT });
    await body?.cancel();
    const found = headers.get("docker-content-digest");
    if (digest !== undefined && found !== digest) problems.push(`${repository}:${tag} is ${found}`);
    checked++;
  };
  for (const tag of stored) await check("registry.test/app", `${tag}`);
  const required = new Map(works.flatMap((each) => [...each.required()]));
  for (const [name, image] of required) {
    const [repository = "", tag = ""] = name.split(/:(?=[^:]*$)/);
    await check(repository, tag, image.root.digest);
  }
  // Whatever a command that was killed has left: what is visible is complete.
  const { repositories } = await (await fetch(`${url}/v2/_catalog?n=1000`)).json();
  for (const repository of repositories.filter((it: string) => it.startsWith(PACKAGE_HOST))) {
    const { tags } = await (await fetch(`${url}/v2/${repository}/tags/list`)).json();
    for (const tag of tags ?? []) await check(repository, tag);
  }
  crpe.kill("SIGKILL");
  await crpe.finished;
}
await Deno.remove(home, { recursive: true });
console.log(
  JSON.stringify({ kills, seed, stored: stored.size, installed: installed.length, checked, ...counts }, null, 1),
);
for (const problem of new Set(problems)) console.error(problem);
if (problems.length > 0 || stored.size === 0 || installed.length === 0) Deno.exitCode = 1;
