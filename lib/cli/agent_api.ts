import { type ApiToken, keepToken, readTokenFile } from "../agent/api_token.ts";
import type { AgentOptions, ImportReport } from "../agent/agent_options.ts";
import { FolderHandover } from "../agent/folder_handover.ts";
import { PackageRecords } from "../agent/package_records.ts";
import { listInventory } from "../content/inventory.ts";
import { takeWriteLease } from "../content/write_lease.ts";
import type { Invocation } from "./command.ts";
import { describeError } from "./describe_error.ts";
import { pathOf } from "./exchange.ts";
import { freeBytesOf } from "./free_bytes.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { formatSize } from "./quantity.ts";
import type { Serving } from "./serve_registry.ts";

/** The agent's part of a server. */
export interface AgentApi {
  readonly handler: (request: Request) => Promise<Response>;
  /** How to pass the token on, where the agent made it itself. @param url where it listens */
  readonly hint: ((url: string) => string) | undefined;
}

const STALL_MILLISECONDS = 30_000;

/** Opens what the agent's API works on. What only the API needs is loaded with the first request for it. */
export async function openAgentApi(
  invocation: Invocation,
  { settings: { data }, content: { store }, log, metrics, isReadOnly }: Serving,
  given: Pick<AgentOptions, "node" | "maxBundle">,
): Promise<AgentApi> {
  const tokenFile = invocation.flag("token-file");
  const token = await openToken(tokenFile, data, isReadOnly);
  if (token?.isReadableByOthers) {
    log.write(
      "warning",
      `${token.path} can be read by others than its owner; chmod 600 it: who has the token may import`,
    );
  }
  const manifestsDir = invocation.flag("manifests-dir");
  const options: AgentOptions = {
    ...given,
    store,
    records: new PackageRecords(data),
    handover: manifestsDir === undefined ? undefined : new FolderHandover(manifestsDir),
    token: isReadOnly ? undefined : token?.token,
    freeBytes: () => freeBytesOf(data),
    takeLease: () => takeWriteLease(data),
    listInventory: () => listInventory(data),
    describeError,
    onImport: (report) => tellImport(report, log, metrics),
    onPushed: (bytes) => metrics.add("crpe_import_received_bytes_total", bytes),
    onError: (error, request) => log.write("error", `${pathOf(request)}: ${describeError(error)}`),
    now: () => performance.now(),
    stallTimeout: STALL_MILLISECONDS,
  };
  let answer: Promise<(request: Request) => Promise<Response>> | undefined;
  const load = async () => (await import("../agent/agent_handler.ts")).createAgentHandler(options);
  return {
    handler: async (request) => {
      // Now: the runtime forgets a request when it is answered.
      const { method } = request;
      const response = await (await (answer ??= load()))(request);
      metrics.add("crpe_requests_total", 1, { kind: "agent", method, status: String(response.status) });
      return response;
    },
    hint: token === undefined || tokenFile !== undefined ? undefined : (url) => formatHint(url, token.path),
  };
}

async function openToken(file: string | undefined, data: string, isReadOnly: boolean): Promise<ApiToken | undefined> {
  if (file !== undefined) return await readTokenFile(file);
  return isReadOnly ? undefined : await keepToken(data);
}

function formatHint(url: string, path: string): string {
  const at = new URL(url);
  if (at.hostname === "0.0.0.0") at.hostname = Deno.hostname();
  return `who imports needs the token in ${path}: copy that file, then crpe push PKG.tgz --to ${at.origin} --token-file FILE`;
}

function tellImport(report: ImportReport, log: Log, metrics: Metrics): void {
  const { outcome, name, version, verdict, installedVersion, received, written, duration, error } = report;
  metrics.add("crpe_imports_total", 1, { outcome });
  metrics.add("crpe_import_received_bytes_total", received);
  const what = name === undefined ? "a bundle" : `${name}@${version}`;
  const from = installedVersion === undefined ? "" : ` from ${installedVersion}`;
  const how = verdict === undefined ? "" : ` (${verdict}${from})`;
  const amount = `${formatSize(received)} received, ${formatSize(written)} written, ${(duration / 1000).toFixed(1)} s`;
  const reason = error === undefined ? "" : `: ${describeError(error)}`;
  log.write(error === undefined ? "info" : "warning", `import of ${what}${how}: ${outcome}, ${amount}${reason}`);
}
