import { MANIFEST_MEDIA_TYPES } from "../../lib/oci/manifest.ts";
import { startDistribution } from "../../tests/support/distribution.ts";
import type { Bench } from "./bench.ts";
import { HOST, TAG } from "./content.ts";
import { download } from "./download.ts";
import { startNginx } from "./nginx.ts";
import { runProgram, timeWork } from "./program.ts";
import { createRatioBars, type Row } from "./row.ts";
import { type Contender, measureInTurns } from "./samples.ts";
import { startServer } from "./server.ts";

const MIB = 2 ** 20;
const CONNECTIONS = 16;
const WRK_SECONDS = 3;
// Without this header distribution does not serve OCI manifests.
const ACCEPT = `Accept: ${MANIFEST_MEDIA_TYPES.join()}`;

/** P1: GET of a blob in the store. */
export async function measureWarmBlob(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, large: { path, repo, layer } }, options: { rounds } } = bench;
  if (!bench.has("curl")) return [];
  await using servers = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const add = (name: string, url: string) => {
    const measure = async () => layer.size / MIB / await timeWork(() => download(url, layer.size));
    contenders.push({ name, measure });
  };
  const crpe = servers.use(await bench.startCrpe("P1 registry", [`--data=${dataDir}`, "--offline"]));
  add("crpe", `${crpe.url}/v2/${repo}/blobs/${layer.digest}`);
  if (bench.has("docker-registry")) {
    const distribution = servers.use(await startDistribution({ dataDir }));
    add("distribution", `${distribution.url}/v2/${path}/blobs/${layer.digest}`);
  }
  if (bench.has("nginx")) {
    const nginx = servers.use(await startNginx(dataDir, `${bench.root}/nginx`));
    add("nginx sendfile", `${nginx.url}${layer.file.slice(dataDir.length)}`);
  }
  for (const { measure } of contenders) await measure();
  const series = await measureInTurns(rounds, contenders);
  return [{
    id: "P1",
    work: `warm blob GET, ${Math.round(layer.size / MIB)} MiB`,
    unit: "MiB/s",
    series,
    bars: createRatioBars(series, { of: "crpe", to: "distribution", sense: "at least", limit: 1 }),
    notes: [],
  }];
}

/** P2: GET of a manifest in the store by its tag. */
export async function measureWarmManifest(bench: Bench): Promise<Row[]> {
  const { content: { dataDir, large: { path, repo, manifest } }, options } = bench;
  if (!bench.has("wrk", "docker-registry")) return [];
  await using servers = new AsyncDisposableStack();
  const contenders: Contender[] = [];
  const add = (name: string, url: string) => contenders.push({ name, measure: () => runWrk(url, WRK_SECONDS) });
  const distribution = servers.use(await startDistribution({ dataDir }));
  const upstream = `--upstream=${HOST}=${distribution.url}`;
  const addCrpe = async (name: string, args: readonly string[], logFile?: string) => {
    const crpe = servers.use(await startServer((port) => bench.registryCommand(port, args), logFile));
    add(name, `${crpe.url}/v2/${repo}/manifests/${TAG}`);
  };
  await addCrpe("crpe --quiet", [`--data=${bench.newPath("manifest")}`, upstream, "--quiet"]);
  await addCrpe("crpe, its log in a file", [`--data=${bench.newPath("manifest")}`, upstream], bench.newPath("log"));
  await addCrpe("crpe --quiet --offline", [`--data=${dataDir}`, "--offline", "--quiet"]);
  add("distribution", `${distribution.url}/v2/${path}/manifests/${TAG}`);
  const file = `${dataDir}/docker/registry/v2/blobs/sha256/${manifest.digest.slice(7, 9)}/${
    manifest.digest.slice(7)
  }/data`;
  const constant = servers.use(
    await startServer((port) => [...options.constantServer, String(port), file, manifest.mediaType]),
  );
  add("Deno.serve of a constant", `${constant.url}/`);
  for (const { measure } of contenders) await measure();
  const series = await measureInTurns(options.rounds, contenders);
  const bars = series.filter(({ name }) => name.startsWith("crpe")).flatMap(({ name: of }) => {
    return createRatioBars(series, { of, to: "distribution", sense: "at least", limit: 15 })
      .map((bar) => ({ ...bar, what: `${of} ${bar.what}` }));
  });
  const work = `warm manifest GET by tag, ${CONNECTIONS} connections`;
  return [{ id: "P2", work, unit: "requests/s", series, bars, notes: [] }];
}

async function runWrk(url: string, seconds: number): Promise<number> {
  const out = await runProgram("wrk", "-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "-H", ACCEPT, url);
  const rate = /^Requests\/sec:\s+([\d.]+)$/m.exec(out)?.[1];
  if (rate === undefined || out.includes("Non-2xx") || out.includes("Socket errors")) {
    throw new Error(`Cannot measure ${url}: ${out}`);
  }
  return Number(rate);
}
