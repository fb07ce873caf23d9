/**
 * Estimates what a cluster needs whose nodes start together: how many registries, how long it takes, how many connections,
 * requests and bytes. docs/scale.md explains the model, and what of it was measured.
 *
 *   deno run scripts/scale.ts [--nodes=10,1000,100000] [--within=10m] [--json] …
 *
 * Sizes are written as 150MiB, links as 10Gbit. With --leaf=250, each group of 250 nodes has a registry of its own, which
 * pulls through the registries at the centre.
 */
import { formatCount, formatSize, formatTime, parseDuration, parseSize } from "../lib/cli/console/quantity.ts";
import { formatTable } from "../lib/cli/console/table.ts";
import { connectionsFor } from "../lib/server/file_limit.ts";
import { type Cost, type Fleet, replicasFor, requestsPerPull, simulateStart } from "./scale/fleet_model.ts";
import { SCALE_OPTIONS } from "./scale/options.ts";
import { requestsToServe, requestsToStore } from "./scale/storage_model.ts";

function usage(problem: string): never {
  console.error(
    `${problem}\nOptions: ${
      Object.entries(SCALE_OPTIONS).map(([name, value]) => `--${name}=${value}`).join(" ")
    } --json`,
  );
  Deno.exit(2);
}

const given = { ...SCALE_OPTIONS };
for (const argument of Deno.args.filter((word) => word !== "--json")) {
  const [, name, value] = /^--([a-z-]+)=(.+)$/.exec(argument) ?? [];
  if (name === undefined || value === undefined || !(name in SCALE_OPTIONS)) usage(`Cannot use ${argument}`);
  given[name] = value;
}

function whole(text: string, name: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 0) usage(`Cannot use --${name}=${text}: write a whole number`);
  return number;
}

/** Bytes a second of a link such as `10Gbit`. */
function linkRate(name: string): number {
  const [, number, unit] = /^([0-9.]+)([KMG])bit$/.exec(given[name]!) ?? [];
  if (number === undefined) usage(`Cannot use --${name}=${given[name]}: write 100Mbit or 10Gbit`);
  return Number(number) * { K: 1e3, M: 1e6, G: 1e9 }[unit as "K" | "M" | "G"] / 8;
}

/** A cost or a price. */
function decimal(name: string): number {
  const number = Number(given[name]);
  if (!(number >= 0)) usage(`Cannot use --${name}=${given[name]}: write a number`);
  return number;
}

const seconds = (name: string) => parseDuration(given[name]!, `--${name}`) / 1000;
const leaf = whole(given.leaf!, "leaf");
const shared = {
  startSeconds: seconds("start"),
  imagesPerNode: whole(given["images-per-node"]!, "images-per-node"),
  imageBytes: parseSize(given["image-size"]!, "--image-size"),
  layers: whole(given.layers!, "layers"),
  images: whole(given.images!, "images"),
  nodeRate: linkRate("node-link"),
  replicaRate: linkRate("registry-link"),
  replicaConnections: connectionsFor(whole(given["open-files"]!, "open-files"), false),
};

const cost: Cost = { cpuPerGiB: decimal("cpu-gib"), cpuPerRequest: decimal("cpu-request") };

/** What a leaf is to the centre: a node that pulls each different image once. */
const leaves = (nodes: number): Omit<Fleet, "replicas"> => ({
  ...shared,
  nodes: Math.ceil(nodes / leaf),
  imagesPerNode: shared.images,
  nodeRate: shared.replicaRate,
});

function estimate(fleet: Omit<Fleet, "replicas">, where: string) {
  const within = seconds("within");
  const replicas = replicasFor({ ...fleet, replicas: 1 }, cost, within);
  const start = simulateStart({ ...fleet, replicas: replicas ?? 1000 }, cost);
  return {
    nodes: fleet.nodes,
    where,
    registries: replicas ?? null,
    seconds: start.seconds,
    connections: start.peakConnections,
    waiting: start.peakWaiting,
    requests: start.requests,
    bytes: start.bytes,
    cpuSeconds: Math.ceil(start.cpuSeconds),
    upstreamRequests: shared.images * requestsPerPull(shared.layers),
    upstreamBytes: shared.images * shared.imageBytes,
  };
}

const rows = given.nodes!.split(",").flatMap((text) => {
  const nodes = whole(text, "nodes");
  if (leaf === 0 || nodes <= leaf) return [estimate({ ...shared, nodes }, "the centre")];
  return [estimate(leaves(nodes), "the centre"), estimate({ ...shared, nodes: leaf }, "each leaf")];
});

/** The configuration of an image is small, and its layers are of one size. */
const blobs = [4096, ...Array.from({ length: shared.layers }, () => Math.ceil(shared.imageBytes / shared.layers))];
const filled = requestsToStore(blobs);
const served = requestsToServe(blobs);
const price = (name: string) => decimal(`price-${name}`);
const storedGiB = shared.images * shared.imageBytes / 2 ** 30;

/** Requests to the bucket for a start, of registries that have just started, and their price. Each reads a blob once. */
function bucketOf({ nodes, where, registries }: typeof rows[number]) {
  if (where !== "the centre") return undefined;
  const reading = shared.images * (registries ?? 1000);
  const [writes, reads] = [reading * served.writes, reading * served.reads];
  return { nodes, writes, reads, price: (writes * price("writes") + reads * price("reads")) / 1000 };
}
const buckets = rows.map(bucketOf).filter((row) => row !== undefined);

if (Deno.args.includes("--json")) console.log(JSON.stringify({ starts: rows, buckets }, null, 2));
else {
  console.log(formatTable(
    ["PULLING", "FROM", "REGISTRIES", "TIME", "CONNECTIONS", "WAITING", "REQUESTS", "BYTES", "CPU"],
    rows.map((row) => [
      formatCount(row.nodes, "node"),
      row.where,
      row.registries === null ? "over 1,000" : String(row.registries),
      formatTime(row.seconds * 1000),
      String(row.connections),
      String(row.waiting),
      String(row.requests),
      formatSize(row.bytes),
      formatTime(row.cpuSeconds * 1000),
    ]),
  ));
  console.log(
    `From the upstream, once: ${formatCount(rows[0]!.upstreamRequests, "request")}, ${
      formatSize(rows[0]!.upstreamBytes)
    }`,
  );
  const writes = shared.images * filled.writes, reads = shared.images * filled.reads;
  console.log(
    `A bucket has ${formatSize(storedGiB * 2 ** 30)} (${
      (storedGiB * price("gib")).toFixed(2)
    } a month), written once with ` +
      `${writes} writes and ${reads} reads (${
        ((writes * price("writes") + reads * price("reads")) / 1000).toFixed(2)
      }).`,
  );
  for (const it of buckets) {
    console.log(
      `The start of ${formatCount(it.nodes, "node")}: ${it.reads} reads and ${it.writes} lists (${
        it.price.toFixed(2)
      }).`,
    );
  }
}
