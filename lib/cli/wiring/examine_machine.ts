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
import { defaultDataFolder, type Settings } from "../command_line/settings.ts";
import { createWarning } from "../console/describe_error.ts";
import type { Io } from "../console/io.ts";
import { formatSize } from "../console/quantity.ts";
import { RELEASE_DATE } from "../console/version.ts";
import { findDataProblem } from "./check_data.ts";
import { type OpenedUpstream, openUpstream } from "./open_upstream.ts";
import { readProxyEnvironment } from "./proxy_environment.ts";

// In milliseconds. Shorter than in a pull, because the user is waiting for the findings.
const TIMEOUTS = { connect: 10_000, stall: 10_000 };

/** What `examineMachine` has found. */
export interface Examination {
  readonly findings: readonly Finding[];
  /** Set if an image was traced. */
  readonly trace: Awaited<ReturnType<typeof traceImage>> | undefined;
}

/**
 * Looks for what is wrong with this machine, its upstreams and its clients' files; or traces one image.
 *
 * @param options.root the root folder of the clients' files
 */
export async function examineMachine(
  settings: Settings,
  io: Io,
  { image, root = "/" }: { image?: string | undefined; root?: string | undefined } = {},
): Promise<Examination> {
  const record = new AnswerRecord(fetch, Date.now);
  const warn = createWarning(io);
  const upstream = settings.offline
    ? undefined
    : await openUpstream(settings, io, { warn, isInteractive: true, fetch: record.fetch, timeouts: TIMEOUTS });
  const options = { freeBytes: freeBytesOf, formatSize, randomName: () => crypto.randomUUID() };
  const data = await checkDataFolder(settings.data, options);
  const problem = await findDataProblem(settings.data, { isReading: false, usual: defaultDataFolder(io) });
  if (problem !== undefined) {
    const advice = "name the folder that has the content with --data";
    data.push({ step: "data folder", status: "warning", message: problem, advice });
  }
  const proxies = upstream === undefined ? [] : await checkProxies({ ...readProxyEnvironment(io), connect });
  const certificates = upstream === undefined ? [] : await checkCertificates(io.env("SSL_CERT_FILE"));
  // When tracing an image only its own registry is asked.
  const isWanted = upstream !== undefined && image === undefined;
  const upstreams = isWanted
    ? await checkUpstreams({ source: upstream.source, ...chooseHosts(settings, upstream), record })
    : [];
  const mirrors = await checkMirrors({
    root,
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
  return { findings, trace };
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
