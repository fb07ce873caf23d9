/**
 * Estimates what a cluster needs whose nodes start together: how many registries, how long it takes, how many connections,
 * requests and bytes. docs/scale.md explains the model, and what of it was measured.
 *
 *   deno run scripts/scale.ts [--nodes=10,1000,100000] [--within=10m] [--json] …
 *
 * Sizes are written as 150MiB, links as 10Gbit. A number of nodes with a leaf (--leaf=250) has a registry of its own for
 * each group of that many nodes, which pulls through the registries at the centre.
 */
import { formatCount, formatSize, formatTime, parseDuration, parseSize } from "../lib/cli/console/quantity.ts";
import { formatTable } from "../lib/cli/console/table.ts";
import { connectionsFor } from "../lib/server/file_limit.ts";
import { type Cost, type Fleet, replicasFor, requestsPerPull, simulateStart } from "./scale/fleet_model.ts";

const DEFAULTS: Readonly<Record<string, string>> = {
  nodes: "10,1000,100000",
  within: "10m",
  start: "1m",
  leaf: "0",
  "images-per-node": "20",
  "image-size": "150MiB",
  layers: "8",
  images: "60",
  "node-link": "1Gbit",
  "registry-link": "10Gbit",
  "open-files": "1024",
};

/** Warm blobs and manifests of docs/performance.md (P9 and P2), on one core. */
const COST: Cost = { cpuPerGiB: 0.34, cpuPerRequest: 1 / 12_000 };

function usage(problem: string): never {
  console.error(
    `${problem}\nOptions: ${Object.entries(DEFAULTS).map(([name, value]) => `--${name}=${value}`).join(" ")} --json`,
  );
  Deno.exit(2);
}

const given = { ...DEFAULTS };
for (const argument of Deno.args.filter((word) => word !== "--json")) {
  const [, name, value] = /^--([a-z-]+)=(.+)$/.exec(argument) ?? [];
  if (name === undefined || value === undefined || !(name in DEFAULTS)) usage(`Cannot use ${argument}`);
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

/** What a leaf is to the centre: a node that pulls each different image once. */
const leaves = (nodes: number): Omit<Fleet, "replicas"> => ({
  ...shared,
  nodes: Math.ceil(nodes / leaf),
  imagesPerNode: shared.images,
  nodeRate: shared.replicaRate,
});

function estimate(fleet: Omit<Fleet, "replicas">, where: string) {
  const within = seconds("within");
  const replicas = replicasFor({ ...fleet, replicas: 1 }, COST, within);
  const start = simulateStart({ ...fleet, replicas: replicas ?? 1000 }, COST);
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

if (Deno.args.includes("--json")) console.log(JSON.stringify(rows, null, 2));
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
}
