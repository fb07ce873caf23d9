import { AnswerRecord } from "../../doctor/answer_record.ts";
import { checkCertificates } from "../../doctor/check_certificates.ts";
import { checkClock } from "../../doctor/check_clock.ts";
import { checkDataFolder } from "../../doctor/check_data_folder.ts";
import { checkMirrors } from "../../doctor/check_mirrors.ts";
import { checkProxies } from "../../doctor/check_proxies.ts";
import { checkUpstreams, type Upstreams } from "../../doctor/check_upstreams.ts";
import { type Finding, reasonOf } from "../../doctor/finding.ts";
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
import { openPlainStore } from "./open_packages.ts";
import type { AnyStore } from "./open_store.ts";
import { type OpenedUpstream, openUpstream } from "./open_upstream.ts";
import { readProxyEnvironment } from "./proxy_environment.ts";

// In milliseconds. Shorter than in a pull, because the user is waiting for the findings.
const TIMEOUTS = { connect: 10_000, stall: 10_000 };

/** What `examineMachine` has found. */
interface Examination {
  readonly findings: readonly Finding[];
  /** Set if an image was traced. */
  readonly trace: Awaited<ReturnType<typeof traceImage>> | undefined;
}

/** The options of `examineMachine`. */
interface ExamineOptions {
  /** Traces this image only. */
  readonly image?: string | undefined;
  /** The root folder of the clients' files. */
  readonly root?: string | undefined;
  /** The store, if it is open already. */
  readonly store?: AnyStore;
}

/**
 * Looks for what is wrong with this machine, its upstreams and its clients' files; or traces one image.
 */
export async function examineMachine(
  settings: Settings,
  io: Io,
  { image, root = "/", store: given }: ExamineOptions = {},
): Promise<Examination> {
  const record = new AnswerRecord(fetch, Date.now);
  const warn = createWarning(io);
  const upstream = settings.offline
    ? undefined
    : await openUpstream(settings, io, { warn, isInteractive: true, fetch: record.fetch, timeouts: TIMEOUTS });
  const data = await checkDataFolder(settings.data, { freeBytes: freeBytesOf, formatSize });
  // Beside a bucket, it has the downloads in progress only.
  const problem = settings.store === undefined
    ? await findDataProblem(settings.data, { isReading: false, usual: defaultDataFolder(io) })
    : undefined;
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
  const { store, bucket } = await examineStore(settings, io, given);
  const trace = image === undefined || store === undefined
    ? undefined
    : await traceImage(image, { store, upstream: upstream?.source });
  // Last, because the clock is compared with the clocks of the registries that answered before.
  const clock = await checkClock(settings.data, {
    now: Date.now(),
    released: Date.parse(RELEASE_DATE),
    offsets: record.offsets,
  });
  const findings = [
    ...data,
    ...bucket,
    clock,
    ...certificates,
    ...proxies,
    ...upstreams,
    ...trace?.findings ?? [],
    ...mirrors,
  ];
  return { findings, trace };
}

/** Opens the store. @returns what is found of a bucket, and no store if it cannot be read */
async function examineStore(
  settings: Settings,
  io: Io,
  given: AnyStore | undefined,
): Promise<{ store: AnyStore | undefined; bucket: Finding[] }> {
  const warn = createWarning(io);
  if (settings.store === undefined) {
    return { store: given ?? new DiskStore(settings.data, { warn, isReadOnly: true }), bucket: [] };
  }
  const step = "object storage";
  try {
    const store = given ?? await openPlainStore(settings, io, { warn, isReading: true });
    if (!(store instanceof DiskStore)) await store.checkReachable();
    return { store, bucket: [{ step, status: "ok", message: `${settings.store} can be read` }] };
  } catch (error) {
    const advice = "check the address of the storage, the name of the bucket, and the keys and what they allow";
    return { store: undefined, bucket: [{ step, status: "broken", message: reasonOf(error), advice }] };
  }
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
