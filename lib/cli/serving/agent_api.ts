import { createAgentHandler } from "../../agent/handler.ts";
import type { AgentOptions, ImportReport } from "../../agent/options.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import { DEFAULT_NAMESPACE, formatPackageId, type PackageId } from "../../kubepkg/package_id.ts";
import { loggedPathOf, plainAddress } from "../../server/exchange.ts";
import { takeWriteLease } from "../../store/write_lease.ts";
import type { Invocation } from "../command_line/command.ts";
import { describeError } from "../console/describe_error.ts";
import { formatTrust } from "../console/trust_text.ts";
import { formatSize } from "../console/quantity.ts";
import {
  createHandover,
  describeStaleHandover,
  type HandoverContext,
  readHandoverPlace,
} from "../wiring/open_handover.ts";
import { listHeldContent } from "../wiring/list_held_content.ts";
import { checkPlace } from "./check_health.ts";
import type { Log } from "./log.ts";
import { methodLabel, type Metrics } from "./metrics.ts";
import type { Handler } from "./serve.ts";
import type { ServerContext } from "./serve_registry.ts";

const STALL_MILLISECONDS = 30_000;

/** Creates the handler of the agent's API. Imports and errors are reported to the server's log and metrics. */
export function openAgentApi(
  invocation: Invocation,
  { settings: { data }, content, audit, log, metrics }: ServerContext,
  { shared, records, ...given }:
    & Pick<AgentOptions, "records" | "node" | "maxBundle" | "tokens" | "readTrust" | "isOwnHost">
    & { shared?: HandoverContext["shared"] },
): Handler {
  const place = readHandoverPlace(invocation);
  const warnOfStaleHandover = async (id: PackageId) => {
    const stale = await describeStaleHandover(records, id, "start with");
    if (stale !== undefined) log.write("warning", stale);
  };
  const answer = createAgentHandler({
    ...given,
    store: content.store,
    records,
    handover: place === undefined
      ? undefined
      : createHandover(place, { forceConflicts: invocation.isSet("force-conflicts"), shared }),
    freeBytes: () => freeBytesOf(data),
    takeLease: () => takeWriteLease(data),
    listInventory: () => listHeldContent(data, content),
    checkPlace: () => checkPlace({ data, store: content.store }),
    describeError,
    audit,
    onImport: (report) => {
      reportImport(report, log, metrics);
      const { name, namespace = DEFAULT_NAMESPACE } = report;
      if (place === undefined && report.outcome === "imported" && name !== undefined) {
        warnOfStaleHandover({ name, namespace });
      }
    },
    onPushed: (bytes) => metrics.add("crpe_import_received_bytes_total", bytes),
    onError: (error, request) => log.write("error", `${loggedPathOf(request)}: ${describeError(error)}`),
    now: () => performance.now(),
    stallTimeout: STALL_MILLISECONDS,
  });
  return async (request, { localAddress, remoteAddr }) => {
    // Read now, because the runtime discards a request once it is answered.
    const { method } = request;
    const response = await answer(request, { localAddress, remoteAddress: plainAddress(remoteAddr.hostname) });
    metrics.add("crpe_requests_total", 1, {
      kind: "agent",
      method: methodLabel(method),
      status: String(response.status),
    });
    return response;
  };
}

function reportImport(report: ImportReport, log: Log, metrics: Metrics): void {
  const {
    outcome,
    name,
    namespace = DEFAULT_NAMESPACE,
    version,
    verdict,
    installedVersion,
    trust,
    received,
    written,
    duration,
    error,
  } = report;
  metrics.add("crpe_imports_total", 1, { outcome });
  metrics.add("crpe_import_received_bytes_total", received);
  const what = name === undefined ? "a bundle" : `${formatPackageId({ name, namespace })}@${version}`;
  const from = installedVersion === undefined ? "" : ` from ${installedVersion}`;
  const how = verdict === undefined ? "" : ` (${verdict}${from})`;
  const amount = `${formatSize(received)} received, ${formatSize(written)} written, ${(duration / 1000).toFixed(1)} s`;
  const [signers = ""] = trust === undefined ? [] : formatTrust(trust);
  const reason = error === undefined ? "" : `: ${describeError(error)}`;
  log.write(
    error === undefined ? "info" : "warning",
    `import of ${what}${how}: ${outcome}, ${amount}${signers === "" ? "" : `, ${signers.trim()}`}${reason}`,
  );
}
