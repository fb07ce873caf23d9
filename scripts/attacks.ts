/**
 * Attacks a registry in several ways while honest clients pull an image from it, and prints for each attack how many
 * pulls were served, their median time compared with that of pulls without the attack, the peak resident memory and the
 * largest number of open files.
 *
 *   deno run -A scripts/attacks.ts [--only=WORD] [--files=1024] [--pulls=5] [--json]
 *
 * $CRPE names an executable; without it the sources run. All connections go to 127.0.0.1.
 */
import { DiskStore } from "../lib/store/disk_store.ts";
import {
  type Attack,
  type AttackTarget,
  openRepeating,
  openSilent,
  openStreams,
  openUnread,
} from "../tests/support/attacks.ts";
import { makeCertificate } from "../tests/support/certificate.ts";
import { startCrpe } from "../tests/support/crpe_process.ts";
import { openHostileConnections } from "../tests/support/hostile_connections.ts";
import { buildImage } from "../tests/support/images.ts";
import { makeLargeLayer } from "../tests/support/large_blob.ts";
import { writeImage } from "../tests/support/put_image.ts";
import { TestFolder } from "../tests/support/test_folder.ts";
import { peakMemoryOf } from "./bench/process_stat.ts";

const option = (name: string) => Deno.args.find((it) => it.startsWith(`--${name}=`))?.slice(name.length + 3);
const FILES = Number(option("files") ?? 1024);
const PULLS = Number(option("pulls") ?? 5);
const PULL_MILLISECONDS = 20_000;
const TAGS = 20_000;

interface Target extends AttackTarget {
  /** A large blob, a large manifest, a long list, and content that only an upstream has. */
  readonly paths: { readonly blob: string; readonly manifest: string; readonly list: string; readonly missing: string };
}

const ATTACKS: readonly [name: string, open: (target: Target) => Attack | Promise<Attack>, isTls?: boolean][] = [
  [
    "2,000 idle and 200 dripping connections",
    ({ port }) => openHostileConnections({ port, idle: 2000, dripping: 200 }),
  ],
  ["1,000 clients that do not read a blob", (target) => openUnread(target, 1000, target.paths.blob)],
  ["1,000 clients that do not read a 4 MiB manifest", (target) => openUnread(target, 1000, target.paths.manifest)],
  ["1,000 clients that do not read a list", (target) => openUnread(target, 1000, target.paths.list)],
  [
    "8 HTTP/2 connections of 200 streams",
    (target) => openStreams(target, { connections: 8, streams: 200, path: target.paths.blob }),
  ],
  [
    "30 HTTP/2 connections of 200 streams",
    (target) => openStreams(target, { connections: 30, streams: 200, path: target.paths.blob }),
  ],
  ["1,000 clients that wait for a dead upstream", (target) => openUnread(target, 1000, target.paths.missing)],
  ["20 clients that request a long list again and again", (target) => openRepeating(target, 20, target.paths.list)],
  ["1,100 silent connections, https", (target) => openSilent(target, 1100), true],
  [
    "1,000 clients that break off the TLS handshake",
    (target) => openSilent(target, 1000, "\x16\x03\x01\x02\x00\x01"),
    true,
  ],
];

await using folder = await TestFolder.create();
const store = new DiskStore(`${folder.path}/data`);
const image = buildImage({ largeLayer: makeLargeLayer(16 * 2 ** 20) });
await writeImage(store, "registry.test/team/app:1.0", image);
// A valid manifest of nearly 4 MiB, and a repository with a long list of tags.
const wide = buildImage({ annotations: { pad: "x".repeat(4 * 2 ** 20 - 4096) } });
await writeImage(store, "registry.test/team/wide:1.0", wide);
const tagFolder = `${folder.path}/data/docker/registry/v2/repositories/registry.test/team/app/_manifests/tags`;
const link = await Deno.readTextFile(`${tagFolder}/1.0/current/link`);
for (let i = 0; i < TAGS; i++) {
  await Deno.mkdir(`${tagFolder}/tag-${"x".repeat(80)}-${i}/current`, { recursive: true });
  await Deno.writeTextFile(`${tagFolder}/tag-${"x".repeat(80)}-${i}/current/link`, link);
}

const certificate = await makeCertificate();
await folder.write("cert.pem", certificate.cert);
await folder.write("key.pem", certificate.key);
// An upstream that accepts connections and never answers.
using dead = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const accepted: Deno.Conn[] = [];
(async () => {
  for await (const connection of dead) accepted.push(connection);
})().catch(() => {});

/** Pulls the image with new connections. @returns the time in milliseconds; `undefined` when a request failed */
async function pull(base: string): Promise<number | undefined> {
  const client = Deno.createHttpClient({ caCerts: [certificate.cert], poolMaxIdlePerHost: 0 });
  const signal = AbortSignal.timeout(PULL_MILLISECONDS);
  const started = performance.now();
  try {
    const manifest = await fetch(`${base}/v2/registry.test/team/app/manifests/1.0`, { client, signal });
    if (!manifest.ok) throw new Error(`${manifest.status}`);
    await manifest.body?.cancel();
    for (const digest of [...image.blobs.keys(), ...image.largeBlobs.keys()]) {
      const blob = await fetch(`${base}/v2/registry.test/team/app/blobs/${digest}`, { client, signal });
      if (!blob.ok) throw new Error(`${blob.status}`);
      await blob.arrayBuffer();
    }
    return performance.now() - started;
  } catch (error) {
    if (Deno.args.includes("--verbose")) console.error(`a pull failed: ${error}`);
    return undefined;
  } finally {
    client.close();
  }
}

async function pullAll(base: string): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < PULLS; i++) {
    const time = await pull(base);
    if (time !== undefined) times.push(time);
  }
  return times.sort((a, b) => a - b);
}

const only = option("only");
const rows: Record<string, string | number>[] = [];
for (const [attack, open, isTls = false] of ATTACKS) {
  if (only !== undefined && !attack.includes(only)) continue;
  await using crpe = await startCrpe([
    ...["registry", "--addr=127.0.0.1:0", "--quiet", "--no-complete", `--data=${folder.path}/data`],
    `--upstream=dead.test=http://127.0.0.1:${(dead.addr as Deno.NetAddr).port}`,
    ...(isTls ? [`--tls-cert=${folder.path}/cert.pem`, `--tls-key=${folder.path}/key.pem`] : []),
  ], { within: ["prlimit", `--nofile=${FILES}:${FILES}`] });
  const base = "/v2/registry.test/team";
  const target = {
    port: Number(new URL(crpe.url).port),
    paths: {
      blob: `${base}/app/blobs/${[...image.largeBlobs.keys()][0]}`,
      manifest: `${base}/wide/manifests/1.0`,
      list: `${base}/app/tags/list`,
      missing: "/v2/dead.test/a/manifests/1",
    },
  };
  await pull(crpe.url);
  const alone = await pullAll(crpe.url);
  // After its start, crpe finds out how many files it may open, by opening them.
  await new Promise((resolve) => setTimeout(resolve, 1500));
  let files = 0;
  const count = () => {
    files = Math.max(files, [...Deno.readDirSync(`/proc/${crpe.pid}/fd`)].length);
  };
  const timer = setInterval(count, 200);
  await using hostile = await open(target);
  const attacked = await pullAll(crpe.url);
  clearInterval(timer);
  count();
  const middle = (times: number[]) => times[Math.floor(times.length / 2)] ?? NaN;
  const peak = Math.round(peakMemoryOf(crpe.pid) / 2 ** 20);
  rows.push({
    attack,
    pulls: `${attacked.length} of ${PULLS}`,
    "time ratio": Number((middle(attacked) / middle(alone)).toFixed(2)),
    "peak MiB": peak,
    files,
    open: hostile.open,
  });
  if (!Deno.args.includes("--json")) console.log(JSON.stringify(rows.at(-1)));
}
if (Deno.args.includes("--json")) console.log(JSON.stringify(rows));
for (const connection of accepted) connection.close();
