import { takeDataFolder } from "../content/data_folder.ts";
import { createRegistryHandler } from "../registry/handler.ts";
import { type Invocation, UsageError } from "./command.ts";
import { describeError } from "./describe_error.ts";
import type { Io } from "./io.ts";
import { Log } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { openContent } from "./open_content.ts";
import { createCacheObserver, createUpstreamObserver } from "./observe.ts";
import { type Handler, serve } from "./serve.ts";
import { formatSize } from "./quantity.ts";
import { readAddress, readSettings } from "./settings.ts";

const DEFAULT_PORT = 6060;

/** `crpe registry` */
export async function runRegistry(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const address = readAddress(invocation, io, settings.config, DEFAULT_PORT);
  const log = new Log(io, { format: readLogFormat(invocation), isVerbose: invocation.isSet("debug") });
  const metrics = new Metrics();
  using folder = await takeDataFolder(settings.data);
  const warn = (message: string) => log.write("warning", message);
  if (folder === undefined) warn(`${settings.data} cannot be written; what it holds is served, nothing is added`);
  const content = await openContent(settings, io, {
    limit: settings.cacheMax,
    warn,
    onUpstreamEvent: createUpstreamObserver(log, metrics),
    onCacheEvent: createCacheObserver(metrics),
    onEvict({ digest, references }, bytes) {
      metrics.add("crpe_evicted_images_total", 1);
      metrics.add("crpe_evicted_bytes_total", bytes);
      log.write("info", `evicted ${references.join(", ") || digest}, ${formatSize(bytes)}`);
    },
  });
  const registry = createRegistryHandler(content.source, {
    onError: (error, request) => log.write("error", `${pathOf(request)}: ${describeError(error)}`),
    onResponse: ({ method, kind, status, bytes }) => {
      metrics.add("crpe_requests_total", 1, { kind: kind ?? "other", method, status: String(status) });
      if (status < 300 && (kind === "manifest" || kind === "blob")) metrics.add("crpe_served_bytes_total", bytes);
    },
  });
  const handler = withMetrics(registry, metrics);
  await serve(address, invocation.isSet("quiet") ? handler : withAccessLog(handler, log), {
    onListen(url) {
      log.write("info", `crpe registry on ${url}, data in ${settings.data}`);
      log.flush();
    },
    // The answer had begun; its connection is aborted, so that nobody takes a part for the whole.
    onAbort: (error) => log.write("error", `an answer was broken off: ${describeError(error)}`),
    onExit: () => log.flush(),
  });
  await content.close();
  log.flush();
  return 0;
}

function readLogFormat(invocation: Invocation): "text" | "json" {
  const format = invocation.flag("log-format") ?? "text";
  if (format === "text" || format === "json") return format;
  throw new UsageError(`Cannot use --log-format ${JSON.stringify(format)}: it has to be text or json`);
}

function withMetrics(handler: Handler, metrics: Metrics): Handler {
  return (request, info) => {
    if (request.method !== "GET" || pathOf(request) !== "/metrics") return handler(request, info);
    return new Response(metrics.format(), { headers: { "content-type": "text/plain; version=0.0.4" } });
  };
}

function withAccessLog(handler: Handler, log: Log): Handler {
  return async (request, info) => {
    const started = performance.now();
    const response = await handler(request, info);
    log.access({
      method: request.method,
      path: pathOf(request),
      status: response.status,
      bytes: response.body === null ? 0 : Number(response.headers.get("content-length") ?? 0),
      duration: performance.now() - started,
      client: info.remoteAddr.hostname.replace(/^::ffff:/, ""),
    });
    return response;
  };
}

function pathOf({ url }: Request): string {
  return url.slice(url.indexOf("/", url.indexOf("://") + 3));
}
