import { startCrpe } from "../../tests/support/crpe_process.ts";
import { startDistribution } from "../../tests/support/distribution.ts";
import { type ObjectStorage, S3_BUCKET, s3Environment, startVersitygw } from "../../tests/support/object_storage.ts";
import { findPeer } from "../../tests/support/peers.ts";
import type { Bench } from "./bench.ts";
import { type BenchImage, HOST, TAG } from "./content.ts";
import { download } from "./download.ts";
import { measureServer } from "./measure.ts";
import type { PeerServer } from "./registries.ts";
import { createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns, type Series } from "./samples.ts";
import { runWrk } from "./wrk.ts";

const MIB = 2 ** 20;
const CLIENTS = 32;
const PEER = "distribution 3.1";
const PREFIX = "warm";

/** What is started on a bucket. Both use the same layout, so that one bucket serves both. */
interface BucketRegistry {
  readonly name: string;
  readonly start: (prefix: string, upstream?: string) => Promise<PeerServer>;
}

/** P14: registries that keep their content in a bucket, of versitygw on this machine. */
export async function measureBucket(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, large, small }, options: { rounds } } = bench;
  if (!bench.has("curl", "wrk", "docker-registry")) return [];
  if (findPeer("versitygw") === undefined) {
    bench.missing.add("versitygw");
    return [];
  }
  await using stack = new AsyncDisposableStack();
  const storage = await startVersitygw();
  stack.defer(() => storage.kill());
  const upstream = stack.use(await startDistribution({ dataDir }));
  const registries = listRegistries(bench, storage);
  await fill(registries[0]!, upstream.url, [large, small]);
  const running: { name: string; server: PeerServer }[] = [];
  for (const { name, start } of registries) running.push({ name, server: stack.use(await start(PREFIX)) });

  const blobOf = (server: PeerServer, { repo, layer }: BenchImage) => `${server.url}/v2/${repo}/blobs/${layer.digest}`;
  const warm = async (image: BenchImage, clients: number): Promise<Series[]> => {
    // One request to each before the rounds loads what it reads.
    for (const { server } of running) await download(blobOf(server, image), image.layer.size);
    const contenders = running.map(({ name, server }): Contender => ({
      name,
      measure: () => measureServer(server.pid, () => download(blobOf(server, image), image.layer.size, clients)),
    }));
    return await measureInTurns(rounds, contenders);
  };
  const manifests = await measureInTurns(
    rounds,
    running.map(({ name, server }) => ({
      name,
      measure: () => runWrk(`${server.url}/v2/${large.repo}/manifests/${TAG}`, server.pid),
    })),
  );
  let colds = 0;
  const cold = await measureInTurns(
    rounds,
    registries.map(({ name, start }): Contender => ({
      name,
      measure: async () => {
        await using server = await start(`cold-${++colds}`, upstream.url);
        const url = name === "crpe"
          ? blobOf(server, small)
          : `${server.url}/v2/${small.path}/blobs/${small.layer.digest}`;
        return await measureServer(server.pid, () => download(url, small.layer.size));
      },
    })),
  );
  const row = (work: string, series: Series[], isRate = false): Row => ({
    id: "P14",
    work: `${work}, content in a bucket`,
    unit: isRate ? "requests/s" : "s",
    ...(isRate ? { cpuFor: "10,000 requests" } : {}),
    series,
    bars: createRatioBars(series, { of: "crpe", to: PEER, sense: isRate ? "at least" : "at most", limit: 1 }),
    notes: [],
  });
  const mib = (image: BenchImage) => `${Math.round(image.layer.size / MIB)} MiB`;
  return [
    row(`warm blob GET, ${mib(large)}`, await warm(large, 1)),
    row(`warm blob GET by ${CLIENTS} concurrent clients, ${mib(small)}`, await warm(small, CLIENTS)),
    row("warm manifest GET by tag", manifests, true),
    row(`cold pull-through of ${mib(small)} by one client`, cold),
  ];
}

function listRegistries(bench: Bench, storage: ObjectStorage): BucketRegistry[] {
  const crpe: BucketRegistry = {
    name: "crpe",
    start: (prefix, upstream) =>
      startCrpe(
        [
          ...["registry", "--addr=127.0.0.1:0", "--quiet", `--store=s3://${S3_BUCKET}/${prefix}`],
          `--data=${bench.newPath("bucket")}`,
          upstream === undefined ? "--offline" : `--upstream=${HOST}=${upstream}`,
        ],
        { env: { HOME: bench.root, ...s3Environment(storage) } },
      ),
  };
  const others = bench.registries.filter(({ serve }) => serve !== undefined).map(({ name, program }) => ({
    name,
    start: (prefix: string, proxyRemote?: string) =>
      startDistribution({
        program,
        bucket: { storage, prefix },
        ...(proxyRemote === undefined ? {} : { proxyRemote }),
      }),
  }));
  return [crpe, ...others];
}

/** Pulls whole images into the bucket. */
async function fill({ start }: BucketRegistry, upstream: string, images: readonly BenchImage[]): Promise<void> {
  await using server = await start(PREFIX, upstream);
  for (const { repo, manifest } of images) {
    const response = await fetch(`${server.url}/v2/${repo}/manifests/${TAG}`, {
      headers: { accept: manifest.mediaType },
    });
    if (!response.ok) throw new Error(`Cannot fill the bucket: ${response.status}`);
    const { config, layers } = await response.json();
    for (const { digest, size } of [config, ...layers]) {
      await download(`${server.url}/v2/${repo}/blobs/${digest}`, size);
    }
  }
}
