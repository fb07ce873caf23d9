import { AnswerRecord } from "../../doctor/answer_record.ts";
import { checkCertificates } from "../../doctor/check_certificates.ts";
import { checkClock } from "../../doctor/check_clock.ts";
import { checkDataFolder } from "../../doctor/check_data_folder.ts";
import { checkMirrors } from "../../doctor/check_mirrors.ts";
import { checkProxies } from "../../doctor/check_proxies.ts";
import { checkUpstreams, type Upstreams } from "../../doctor/check_upstreams.ts";
import type { Finding } from "../../doctor/finding.ts";
import { traceImage } from "../../doctor/trace_image.ts";
import { normalizeHost } from "../../oci/reference.ts";
import { freeBytesOf } from "../../files/free_bytes.ts";
import { DiskStore } from "../../store/disk_store.ts";
import type { Invocation } from "../command_line/command.ts";
import { readSettings, type Settings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { formatJson } from "../console/table.ts";
import { RELEASE_DATE } from "../console/version.ts";
import { type OpenedUpstream, openUpstream } from "../wiring/open_upstream.ts";
import { readProxyEnvironment } from "../wiring/proxy_environment.ts";

// In milliseconds. Shorter than in a pull, because the user is waiting for the findings.
const TIMEOUTS = { connect: 10_000, stall: 10_000 };

/** `crpe doctor` */
export async function runDoctor(invocation: Invocation, io: Io): Promise<number> {
  const settings = await readSettings(invocation, io);
  const [image] = invocation.arguments;
  const record = new AnswerRecord(fetch, Date.now);
  const warn = createWarning(io);
  const upstream = settings.offline
    ? undefined
    : await openUpstream(settings, io, { warn, isInteractive: true, fetch: record.fetch, timeouts: TIMEOUTS });
  const options = { freeBytes: freeBytesOf, formatSize, randomName: () => crypto.randomUUID() };
  const data = await checkDataFolder(settings.data, options);
  const proxies = upstream === undefined ? [] : await checkProxies({ ...readProxyEnvironment(io), connect });
  const certificates = upstream === undefined ? [] : await checkCertificates(io.env("SSL_CERT_FILE"));
  // When tracing an image only its own registry is asked.
  const isWanted = upstream !== undefined && image === undefined;
  const upstreams = isWanted
    ? await checkUpstreams({ source: upstream.source, ...chooseHosts(settings, upstream), record })
    : [];
  const mirrors = await checkMirrors({
    root: invocation.flag("root") ?? "/",
    fetch: (request, init) => fetch(request, init),
    isOffline: settings.offline,
  });
  const store = new DiskStore(settings.data, { warn, isReadOnly: true });
  const trace = image === undefined ? undefined : await traceImage(image, { store, upstream: upstream?.source });
  // Last, because the clock is compared with the clocks of the registries that answered before.
  const clock = await checkClock(settings.data, {
    now: Date.now(),
    released: Date.parse(RELEASE_DATE),
    offsets: record.offsets,
  });
  const findings = [...data, clock, ...certificates, ...proxies, ...upstreams, ...trace?.findings ?? [], ...mirrors];
  const first = findings.find(({ status }) => status === "broken");
  if (invocation.isSet("json")) {
    const { findings: _, ...image } = trace ?? { findings: [] };
    io.out(formatJson({
      status: first === undefined ? "ok" : "broken",
      findings,
      ...(first === undefined ? {} : { firstBroken: first }),
      ...(trace === undefined ? {} : { image }),
    }));
  } else io.out(formatFindings(findings, first));
  return first === undefined ? 0 : 1;
}

async function connect({ hostname, port }: { hostname: string; port: number }): Promise<void> {
  const signal = AbortSignal.timeout(TIMEOUTS.connect);
  (await Deno.connect({ hostname: hostname.replace(/^\[|\]$/g, ""), port, signal })).close();
}

// Only hosts that the user has named are asked. Without any, the well-known public registries are used too.
function chooseHosts({ upstreams, config }: Settings, { hosts }: OpenedUpstream): Pick<Upstreams, "hosts" | "unasked"> {
  if (hosts === undefined) return { hosts };
  const named = new Set(
    [...upstreams.map((text) => text.split("=", 1)[0]!), ...Object.keys(config.hosts)].map(normalizeHost),
  );
  return { hosts: hosts.filter((host) => named.has(host)), unasked: hosts.filter((host) => !named.has(host)) };
}

function formatFindings(findings: readonly Finding[], first: Finding | undefined): string {
  const lines = findings.flatMap(({ step, status, message, advice }) => [
    `${status.padEnd(8)} ${step}: ${message}`,
    ...advice === undefined || advice === first?.advice ? [] : [`${" ".repeat(9)}→ ${advice}`],
  ]);
  const end = first === undefined
    ? ["nothing is broken"]
    : [`the first broken step: ${first.step}: ${first.message}`, `what to do: ${first.advice ?? "see above"}`];
  return [...lines, "", ...end, ""].join("\n");
}
