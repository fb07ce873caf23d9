import { readText } from "../../files/read_text.ts";
import { readBounded } from "../../bytes/read_bounded.ts";
import { cannot, CorruptError, CrpeError, UsageError } from "../../oci/error.ts";
import { escapeControls } from "../../oci/escape_controls.ts";
import { describeFailure } from "../../agent/client/agent_error.ts";
import { toTransportError } from "../../upstream/transport/transport_error.ts";
import type { CommandDefinition, Invocation } from "../command_line/command.ts";
import { FLAG } from "../command_line/flags.ts";
import type { Io } from "../console/io.ts";
import { formatCount, formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { quoteOperand } from "../console/quote_operand.ts";
import { readSystemCertificates } from "../wiring/certificates.ts";
import { pinByFlags } from "../wiring/connect_agent.ts";

/** `crpe status` */
export const COMMAND: CommandDefinition = {
  interrupted: "nothing was changed",
  details: "URL is the address of a registry or an agent. The numbers are those of its /metrics.",
  flags: [
    { name: "watch", summary: "show it again every two seconds, until ctrl-C" },
    FLAG.fingerprint,
    { ...FLAG.agentCa, summary: "CA certificates (PEM) to trust for an https server" },
    FLAG.json,
  ],
  examples: [
    ["crpe status", "ask the registry on this machine"],
    ["crpe status http://192.168.1.20:36060 --watch", "follow an agent"],
  ],
  run: runStatus,
};

const DEFAULT_URL = "http://127.0.0.1:6060";
const TIMEOUT_MILLISECONDS = 10_000;
const WATCH_MILLISECONDS = 2000;
// A server with many upstreams has a few hundred KiB.
const MAX_BYTES = 8 * 1024 * 1024;

/** What a server does, from its metrics. Absent values are not known yet. */
interface ServerStatus {
  readonly url: string;
  readonly version: string | undefined;
  /** Why new content is not kept; absent when all is well. */
  readonly degraded?: string;
  readonly uptimeSeconds: number | undefined;
  readonly connections: number | undefined;
  readonly transfers: number | undefined;
  /** Manifests and blobs served since the start, by where they came from. */
  readonly served: { readonly [outcome: string]: number };
  readonly servedBytes: number;
  /** A bucket is not measured; `copiesBytes` is what its copies on the machine take. */
  readonly store: {
    readonly bytes?: number;
    readonly blobs?: number;
    readonly images?: number;
    readonly copiesBytes?: number;
  };
  readonly freeBytes: number | undefined;
  /** The limits of the link; absent without any. `host` is `*` for all registries together. */
  readonly link?: {
    readonly rate: number | undefined;
    readonly closed: readonly string[];
    readonly budgets: {
      readonly host: string;
      readonly period: string;
      readonly bytes: number;
      readonly used: number;
    }[];
  };
  /** The crpes that the server has found in the network; absent when it does not look for any. */
  readonly peers?: readonly string[];
  readonly upstreams: { readonly host: string; readonly responses: number; readonly errors: number }[];
}

async function runStatus(invocation: Invocation, io: Io): Promise<number> {
  const url = parseUrl(invocation.arguments[0] ?? DEFAULT_URL);
  const format = invocation.isSet("json") ? formatJson : formatStatus;
  const caFile = invocation.flag("ca-file");
  if (caFile !== undefined && !url.startsWith("https:")) {
    throw new UsageError(cannot(`use --ca-file with ${url}`, "write https:// in front of the address"));
  }
  const pinned = await pinByFlags({ url, hasScheme: true }, { invocation, io, isOptional: caFile !== undefined });
  const at = pinned?.localUrl ?? url;
  // Trusted in addition to the authorities of the system.
  using client = caFile === undefined
    ? undefined
    : Deno.createHttpClient({ caCerts: [...readSystemCertificates(io), await readText(caFile)] });
  if (!invocation.isSet("watch")) {
    io.out(format(await readStatus(url, { at, client })));
    return 0;
  }
  // Ends with ctrl-C. A terminal shows the newest status only.
  for (;;) {
    const text = format(await readStatus(url, { at, client }));
    io.out(io.columns === undefined || invocation.isSet("json") ? text : `\x1b[H\x1b[2J${text}`);
    await new Promise((resolve) => setTimeout(resolve, WATCH_MILLISECONDS));
  }
}

function parseUrl(text: string): string {
  const url = URL.parse(text.includes("://") ? text : `http://${text}`);
  const shown = quoteOperand(text);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(cannot(`ask ${shown}`, `write a URL, such as ${DEFAULT_URL}`));
  }
  if (url.username === "" && url.password === "") return url.origin;
  throw new UsageError(
    cannot(
      `ask ${shown}`,
      "a password in a command line is visible to all users of the machine",
      "a status needs none",
    ),
  );
}

/** @param at where the server is reached: itself, or a relay */
async function readStatus(
  url: string,
  { at, client }: { readonly at: string; readonly client: Deno.HttpClient | undefined },
): Promise<ServerStatus> {
  const read = (path: string) => fetchText(at + path, { url, client });
  const [metrics, health] = await Promise.all([read("/metrics"), read("/healthz")]);
  const samples = parseSamples(metrics.text);
  if (!samples.some(({ name }) => name === "crpe_build_info")) {
    const message = findText(metrics.text, "message");
    const reason = message === undefined
      ? "it is not a crpe of this version"
      : `it answers ${metrics.status}: ${message}`;
    throw new CrpeError(cannot(`ask ${url}`, reason));
  }
  const find = (name: string) => samples.filter((sample) => sample.name === name);
  const sum = (name: string, label: string, value: string) =>
    find(name).filter(({ labels }) => labels[label] === value).reduce((total, { value }) => total + value, 0);
  const one = (name: string) => find(name)[0]?.value;
  const started = one("crpe_start_time_seconds");
  const outcomes = [...new Set(find("crpe_cache_requests_total").map(({ labels }) => labels.outcome ?? ""))].sort();
  const names = ["crpe_upstream_requests_total", "crpe_upstream_errors_total"] as const;
  const hosts = [...new Set(names.flatMap(find).map(({ labels }) => labels.host ?? ""))].sort();
  const reason = findText(health.text, "reason");
  return {
    url,
    version: find("crpe_build_info")[0]?.labels.version,
    degraded: reason,
    uptimeSeconds: started === undefined ? undefined : Math.max(0, Math.round(Date.now() / 1000 - started)),
    connections: one("crpe_open_connections"),
    transfers: one("crpe_transfers"),
    served: Object.fromEntries(outcomes.map((it) => [it, sum("crpe_cache_requests_total", "outcome", it)])),
    servedBytes: one("crpe_served_bytes_total") ?? 0,
    store: {
      bytes: one("crpe_store_bytes"),
      blobs: one("crpe_store_blobs"),
      images: one("crpe_images"),
      copiesBytes: one("crpe_copies_bytes"),
    },
    freeBytes: one("crpe_free_bytes"),
    ...readLink(samples),
    ...readPeers(samples),
    upstreams: hosts.map((host) => ({
      host,
      responses: sum(names[0], "host", host),
      errors: sum(names[1], "host", host),
    })),
  };
}

function readLink(samples: readonly Sample[]): Pick<ServerStatus, "link"> {
  const named = (name: string) => samples.filter((sample) => sample.name === name);
  const states = named("crpe_link_open");
  if (states.length === 0) return {};
  const used = named("crpe_link_used_bytes");
  return {
    link: {
      rate: named("crpe_link_rate_limit_bytes")[0]?.value,
      closed: states.filter(({ value }) => value === 0).map(({ labels }) => labels.host ?? "*"),
      budgets: named("crpe_link_budget_bytes").map(({ labels: { host = "*", period = "" }, value }) => ({
        ...{ host, period, bytes: value },
        used: used.find(({ labels }) => labels.host === host && labels.period === period)?.value ?? 0,
      })),
    },
  };
}

function readPeers(samples: readonly Sample[]): Pick<ServerStatus, "peers"> {
  const named = (wanted: string) => samples.filter(({ name }) => name === wanted);
  if (named("crpe_found_peers").length === 0) return {};
  return { peers: named("crpe_found_peer").map(({ labels }) => labels.host ?? "") };
}

async function fetchText(
  address: string,
  { url, client }: { readonly url: string; readonly client: Deno.HttpClient | undefined },
): Promise<{ status: number; text: string }> {
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(TIMEOUT_MILLISECONDS), client });
    const bytes = response.body === null ? new Uint8Array() : await readBounded(response.body, url, MAX_BYTES);
    return { status: response.status, text: new TextDecoder().decode(bytes) };
  } catch (cause) {
    if (cause instanceof CorruptError) throw cause;
    const error = toTransportError(cause);
    const { failure } = error;
    // The advice of other failures is for upstreams.
    const { reason, advice } = failure === "refused" || failure === "blocked"
      ? { reason: "no server answers there", advice: "start crpe registry, or name its URL" }
      : failure === "authority"
      ? describeFailure(error)
      : { reason: error.reason, advice: undefined };
    throw new CrpeError(cannot(`ask ${url}`, reason, advice), { cause });
  }
}

/** Finds a text in a JSON document by its name. */
function findText(json: string, name: string): string | undefined {
  const text = new RegExp(`"${name}":\\s*("(?:[^"\\\\]|\\\\.)*")`).exec(json)?.[1];
  try {
    return text === undefined ? undefined : JSON.parse(text);
  } catch {
    // The document is no JSON.
    return undefined;
  }
}

interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function parseSamples(text: string): Sample[] {
  return [...text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels = "", value]) => ({
    name: name!,
    labels: Object.fromEntries(
      [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map((
        [, label, text],
      ) => [label, text!.replace(/\\(.)/g, "$1")]),
    ),
    value: Number(value),
  }));
}

function formatStatus(status: ServerStatus): string {
  const { url, version, degraded, uptimeSeconds, served, store, freeBytes, upstreams } = status;
  const known = (value: number | undefined, format: (value: number) => string = String) =>
    value === undefined ? "not known yet" : format(value);
  const rows: [string, string][] = [
    ["server", `${url}, crpe ${version}${degraded === undefined ? "" : `, degraded: ${degraded}`}`],
    ["running for", known(uptimeSeconds, formatUptime)],
    ["clients", `${known(status.connections)} connected, ${known(status.transfers)} being served`],
    ["served", Object.entries(served).map(([outcome, count]) => `${count} ${outcome}`).join(", ") || "nothing yet"],
    ["sent", formatSize(status.servedBytes)],
    ["store", formatStore(store)],
    ["free space", known(freeBytes, formatSize)],
    ...formatLink(status.link),
    ...(status.peers === undefined ? [] : [["peers", status.peers.join(", ") || "none found"] as [string, string]]),
    ...upstreams.map(({ host, responses, errors }): [string, string] => {
      return ["upstream", `${host}: ${formatCount(responses, "response")}, ${formatCount(errors, "error")}`];
    }),
  ];
  return rows.map(([name, text]) => `${name.padEnd(12)} ${escapeControls(text)}\n`).join("");
}

function formatStore({ bytes, blobs = 0, images = 0, copiesBytes }: ServerStatus["store"]): string {
  if (copiesBytes !== undefined) return `a bucket, ${formatSize(copiesBytes)} of it copied to the machine`;
  if (bytes === undefined) return "not known yet";
  return `${formatCount(images, "tag")}, ${formatCount(blobs, "blob")}, ${formatSize(bytes)}`;
}

function formatLink(link: ServerStatus["link"]): [string, string][] {
  if (link === undefined) return [];
  const { rate, closed, budgets } = link;
  const whose = (host: string) => host === "*" ? "" : ` of ${host}`;
  const state = closed.length === 0 ? "open" : closed.includes("*") ? "closed" : `closed for ${closed.join(", ")}`;
  return [
    ["link", `${state}${rate === undefined ? "" : `, at most ${formatSize(rate)}/s`}`],
    ...budgets.map(({ host, period, bytes, used }): [string, string] => [
      "budget",
      `${formatSize(used)} of ${formatSize(bytes)} a ${period}${whose(host)} are used`,
    ]),
  ];
}

function formatUptime(seconds: number): string {
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  return days > 0
    ? `${days} d ${hours} h`
    : hours > 0
    ? `${hours} h ${minutes} min`
    : `${minutes} min ${seconds % 60} s`;
}
