import { AuditLog } from "../../files/audit_log.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import { createRegistryHandler, type RegistryHandlerOptions } from "../../registry/handler.ts";
import type { Exchange } from "../../server/exchange.ts";
import type { Address } from "../../server/listen.ts";
import { isLoopback } from "../../server/own_hosts.ts";
import type { TlsFiles } from "../../server/tls_files.ts";
import type { UpstreamEvent } from "../../upstream/transport/events.ts";
import { takeDataFolder } from "../../store/data_folder.ts";
import { DiskStore } from "../../store/disk_store.ts";
import type { Invocation } from "../command_line/command.ts";
import type { ConfigFile } from "../command_line/config_file.ts";
import { readAddress, readSettings, type Settings } from "../command_line/settings.ts";
import type { Io } from "../console/io.ts";
import { VERSION } from "../console/version.ts";
import { warnOfData } from "../wiring/check_data.ts";
import type { PackageRecords } from "../../install/package_records.ts";
import type { OpenedObjectStore } from "../wiring/open_object_store.ts";
import { openAnyStore, type OpenedStore } from "../wiring/open_store.ts";
import { checkHealth, checkPlace } from "./check_health.ts";
import { readHostNames, withHostCheck } from "./host_check.ts";
import { Gauges } from "./gauges.ts";
import { ImageUse } from "./image_use.ts";
import { UpstreamStates } from "./upstream_states.ts";
import { Log } from "./log.ts";
import { LoopGuard } from "./loop_guard.ts";
import { readLoginSettings, withLogin } from "./login.ts";
import { Metrics } from "./metrics.ts";
import { Observer } from "./observer.ts";
import { type Handler, type SecureListener, serve } from "./serve.ts";
import type { DiscoverySettings, StartedDiscovery } from "./start_discovery.ts";
import { readScrubPeriod, startScrub } from "./start_scrub.ts";
import { withMetrics } from "./with_metrics.ts";
import { cannot, UsageError } from "../../oci/error.ts";

/** What `extend` can use of a server that is starting. */
export interface ServerContext {
  readonly settings: Settings;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly content: OpenedStore;
  /** Opens the records of installed packages. */
  readonly openRecords: () => Promise<PackageRecords>;
  readonly audit: AuditLog;
  /** Whether the data folder is read-only. */
  readonly isReadOnly: boolean;
  readonly gauges: Pick<Gauges, "read">;
  readonly imageUse: ImageUse;
  readonly upstreams: UpstreamStates;
  /** Lists the crpes that are found in the network; absent when none are looked for. */
  readonly listPeers?: (() => readonly string[]) | undefined;
}

/** The options of `serveRegistry`. */
interface ServeRegistryOptions {
  /** The name of the server in the log: `crpe registry`. */
  readonly name: string;
  /** The port to listen on by default. */
  readonly defaultPort: number;
  /** Changes the settings before anything is opened. */
  readonly adjust?: (settings: Settings) => Settings;
  /**
   * Wraps the registry's handler. Its responses are in the access log too; requests for `/metrics` do not reach it.
   * Called after everything is open, before the server listens.
   */
  readonly extend?: (registry: Handler, context: ServerContext) => Handler | Promise<Handler>;
  /** Opens the second address of the server. @param address where the server listens itself */
  readonly secure?: (
    address: Address,
    context: Pick<ServerContext, "settings" | "log" | "isReadOnly">,
  ) => Promise<SecureListener | undefined>;
  /** Returns additional log messages for the start. @param url the server's URL */
  readonly announce?: (url: string) => readonly string[];
}

/**
 * Opens the log, the metrics and the data folder, and serves the registry until a signal stops the process.
 *
 * @returns the exit status
 * @throws {UsageError} when a flag or the configuration is not valid
 * @throws {FolderInUseError} when another process serves the data folder
 */
export async function serveRegistry(
  invocation: Invocation,
  io: Io,
  { name, defaultPort, adjust, extend, secure, announce }: ServeRegistryOptions,
): Promise<number> {
  const read = await readSettings(invocation, io, { canUseBucket: true });
  const settings = adjust?.(read) ?? read;
  if (settings.store !== undefined) refuseScrub(invocation);
  const address = readAddress(invocation, io, { ...settings, defaultPort });
  const login = readLoginSettings(invocation, settings);
  const tls = readTls(invocation, settings.config);
  const hostNames = readHostNames(invocation);
  const period = readScrubPeriod(invocation, settings);
  const log = new Log(io, { format: readLogFormat(invocation), isVerbose: invocation.isSet("debug") });
  const metrics = new Metrics();
  using folder = await takeDataFolder(settings.data);
  const isReadOnly = folder === undefined;
  const warn = (message: string) => log.write("warning", message);
  await warnOfData(settings.data, io, { isReading: false, warn });
  if (isReadOnly) warn(`${settings.data} cannot be written; existing content is served, nothing is added`);
  const observer = new Observer({
    log,
    metrics,
    cacheMax: settings.cacheMax,
    freeBytes: () => freeBytesOf(settings.data),
  });
  const { onUpstreamEvent, onCacheEvent, onEvict, onError, onUpstreamError, onAbort } = observer;
  const loops = new LoopGuard();
  const upstreams = new UpstreamStates();
  const upstream = {
    onUpstreamEvent(event: UpstreamEvent) {
      onUpstreamEvent(event);
      upstreams.record(event);
    },
    via: loops.via,
  };
  await using discovery = await openDiscovery(io, { settings, log, metrics, ...upstream });
  const content = await openAnyStore(settings, io, {
    hasCopies: true,
    limit: settings.cacheMax,
    isInteractive: true,
    warn,
    onCacheEvent(event) {
      onCacheEvent(event);
      discovery?.onCacheEvent(event);
    },
    onEvict,
    listFoundPeers: discovery?.list,
    ...upstream,
  });
  const { store } = content;
  const locateBlob = readRedirect(invocation, content, address);
  const imageUse = await ImageUse.read(settings.data);
  // Number of requests to the registry whose response was not passed on completely.
  let active = 0;
  const answer = createRegistryHandler<Exchange>(content.source, {
    onError,
    onUpstreamError,
    checkHealth: () => checkHealth({ data: settings.data, store, isReadOnly }),
    checkPlace: () => checkPlace({ data: settings.data, store }),
    held: content.held,
    locateBlob,
    greeting: formatGreeting(name, !invocation.isSet("no-page")),
    onAnswer(info, exchange) {
      const onEnd = (bytes: number) => {
        active--;
        observer.onResponse(info, bytes);
        imageUse.record(info);
      };
      const { kind, outcome, length } = info;
      if (exchange !== undefined) exchange.note = { kind, remark: outcome, length, returnsChunks: true, onEnd };
    },
  });
  const audit = new AuditLog(settings.data, { onProblem: ({ message }) => log.write("error", message) });
  const gauges = new Gauges({
    metrics,
    root: settings.data,
    freeBytes: () => freeBytesOf(settings.data),
    countTransfers: () => active,
    bucket: content.bucket,
    link: content.link,
    listPeers: discovery?.listHosts,
  });
  const open: Handler = (request, exchange) => {
    active++;
    return answer(request, exchange);
  };
  const registry = login === undefined ? open : await withLogin(open, login, {
    warn,
    hasTls: tls !== undefined,
    address,
    onRefused: observer.onRefused,
  });
  let records: Promise<PackageRecords> | undefined;
  const openRecords = () =>
    records ??= openServerRecords(settings.data, content.bucket).catch((error) => {
      records = undefined;
      throw error;
    });
  const context = {
    ...{ settings, log, metrics, audit, isReadOnly, gauges, imageUse, upstreams, content, openRecords },
    listPeers: discovery?.listHosts,
  };
  const extended = await extend?.(registry, context) ?? registry;
  await using _scrub = store instanceof DiskStore && !isReadOnly && period !== 0
    ? startScrub({ data: settings.data, store, period, isBusy: () => active > 0, log })
    : undefined;
  await using _use = isReadOnly ? undefined : imageUse.startSaving(settings.data);
  const guarded = loops.wrap(withMetrics(extended, metrics, gauges), observer.onRefused);
  await serve(address, withHostCheck(guarded, hostNames, observer.onRefused), {
    onListen(url, countConnections) {
      gauges.countConnections = countConnections;
      log.write("info", `${name} on ${url}, data in ${settings.store ?? settings.data}`);
      for (const line of announce?.(url) ?? []) log.write("info", line);
      discovery?.announce(url, address);
      log.flush();
    },
    tls,
    secure: tls === undefined ? await secure?.(address, { settings, log, isReadOnly }) : undefined,
    onSent(answer) {
      metrics.observe("crpe_request_duration_seconds", answer.duration / 1000, { kind: answer.kind ?? "other" });
      if (!invocation.isSet("quiet")) log.access(answer);
    },
    onAbort,
    onShed: (reason) => metrics.add("crpe_shed_total", 1, { reason }),
    folder: settings.data,
    log,
    maxMemory: settings.maxMemory,
    onStop(patience) {
      // The cursor is behind the ^C.
      if (io.isTerminal) io.err("\n");
      log.write("info", `${name} is stopping; waiting up to ${patience / 1000} s for responses in progress`);
      log.flush();
      discovery?.[Symbol.asyncDispose]();
    },
  });
  await content.close();
  log.flush();
  return 0;
}

// Loaded here so that only a server that looks for others pays for the modules.
async function openDiscovery(io: Io, options: DiscoverySettings): Promise<StartedDiscovery | undefined> {
  if (options.settings.discovery === undefined) return undefined;
  return await (await import("./start_discovery.ts")).startDiscovery(io, options);
}

/** With `--redirect`, clients read blobs from the bucket. */
function readRedirect(
  invocation: Invocation,
  { store, bucket }: OpenedStore,
  { hostname }: Address,
): RegistryHandlerOptions["locateBlob"] {
  if (!invocation.isSet("redirect")) return undefined;
  if (bucket === undefined || store instanceof DiskStore) {
    throw new UsageError(cannot("use --redirect without a store on object storage"));
  }
  const { host } = new URL(bucket.client.endpoint);
  if (isLoopback(host.replace(/:\d+$/, "")) && !isLoopback(hostname ?? "")) {
    throw new UsageError(cannot("use --redirect", `clients cannot reach the object storage at ${host}`));
  }
  return (repo, digest) => store.locateBlob(repo, digest);
}

async function openServerRecords(data: string, bucket: OpenedObjectStore | undefined): Promise<PackageRecords> {
  if (bucket !== undefined) {
    return await (await import("../wiring/open_packages.ts")).openBucketRecords(data, bucket);
  }
  return new (await import("../../install/package_records.ts")).PackageRecords(data);
}

// A provider of object storage finds and repairs rot itself, and each read of all content costs money.
function refuseScrub(invocation: Invocation): void {
  if (invocation.flag("scrub") === undefined) return;
  throw new UsageError(cannot("use --scrub with a store on object storage", "crpe verify reads all of the bucket"));
}

/** Says what a server is, to those who ask it without a browser. */
function formatGreeting(name: string, hasPage: boolean): string {
  const lines = [
    `${name} ${VERSION}`,
    "",
    "/v2/       the registry: docker, podman, skopeo and containerd pull from it, and nothing can be pushed",
    ...(name === "crpe agent" ? ["/kubepkgs  the installed packages"] : []),
    ...(hasPage ? ["/          the web page, in a browser"] : []),
    "/healthz   whether it can serve",
    "/metrics   what it has done, for Prometheus",
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function readLogFormat(invocation: Invocation): "text" | "json" {
  const format = invocation.flag("log-format") ?? "text";
  if (format === "text" || format === "json") return format;
  throw new UsageError(cannot(`use --log-format ${JSON.stringify(format)}`, "it must be text or json"));
}

function readTls(invocation: Invocation, config: ConfigFile): TlsFiles | undefined {
  const cert = invocation.flag("tls-cert") ?? config["tls-cert"];
  const key = invocation.flag("tls-key") ?? config["tls-key"];
  if (cert === undefined && key === undefined) return undefined;
  if (cert !== undefined && key !== undefined) return { cert, key };
  throw new UsageError(cannot("serve TLS", `--tls-${cert === undefined ? "cert" : "key"} is missing`));
}
