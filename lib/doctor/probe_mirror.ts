import type { FolderReader } from "../files/folder_reader.ts";
import type { ListedMirror, MirrorClient } from "../mirror/mirror.ts";
import type { RuntimeFetch } from "../upstream/transport/middleware.ts";
import { isPrivateHost } from "../upstream/trust/private_address.ts";
import type { Finding } from "./finding.ts";

/** A mirror that a client uses. */
export interface UsedMirror extends ListedMirror {
  readonly client: MirrorClient;
  /** The file that names it. */
  readonly path: string;
}

/** The options of `probeMirror`. */
export interface ProbeOptions {
  /** Sends requests to the mirrors; no mirror is contacted when absent. */
  readonly fetch?: RuntimeFetch | undefined;
  /** Whether only mirrors on this machine and in private networks are contacted. */
  readonly isOffline?: boolean;
  /** Creates the HTTP client that trusts the authorities of the clients. */
  readonly createHttpClient?: (options: { caCerts: string[] }) => Deno.HttpClient;
}

const PROBE_TIMEOUT = 5000;
// The authorities that the system trusts: of Debian and Alpine, of Red Hat, and of SUSE.
const SYSTEM_CERTIFICATES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
];
const ADVICE = "start it (crpe registry), or correct the address (crpe mirror-config --to)";

type Verdict = Omit<Finding, "step">;

/** Checks whether a mirror is a crpe that answers, and that the client can pull through. */
export async function probeMirror(
  mirror: UsedMirror,
  reader: FolderReader,
  { fetch, isOffline = false, createHttpClient = Deno.createHttpClient }: ProbeOptions,
): Promise<Verdict> {
  const { url, path, caFile, client } = mirror;
  const where = `${url}, named in ${path}`;
  if (!URL.canParse(url)) return { status: "broken", message: `${where}, is not a URL`, advice: `correct ${path}` };
  const caAdvice = `run crpe mirror-config ${client.name} --to=${url} --ca-file=FILE --write`;
  const named = caFile === undefined ? undefined : resolvePath(path, caFile);
  const certificates = named === undefined ? undefined : await readReadable(reader, named);
  if (named !== undefined && certificates === undefined) {
    const message = `${where}, needs the certificates in ${named}, which does not exist`;
    return { status: "broken", message, advice: caAdvice };
  }
  if (fetch === undefined || !isContacted(url, isOffline)) {
    return { status: "skipped", message: `${where}, is not contacted` };
  }
  try {
    using http = await openClient(mirror, reader, createHttpClient);
    if (!await isCrpe(url, (request) => fetch(request, { client: http }))) {
      return { status: "ok", message: `${where}, answers; it is not a crpe` };
    }
  } catch (error) {
    if (!/certificate|InvalidCertificate|UnknownIssuer/i.test(`${error} ${(error as Error).cause ?? ""}`)) {
      return { status: "broken", message: `${where}, does not answer`, advice: ADVICE };
    }
    return {
      status: "broken",
      message: `${where}, has a certificate that its clients do not trust`,
      advice: caAdvice,
    };
  }
  return mirror.problem === undefined ? { status: "ok", message: `${where}, is a crpe, and answers` } : {
    status: "broken",
    message: `${where}, cannot serve it: ${mirror.problem}`,
    advice: `change ${path} as described`,
  };
}

/** Asks whether a mirror wants a login for every image. @returns false also when it does not answer, or is not contacted */
export async function asksForLogin(
  mirror: UsedMirror,
  reader: FolderReader,
  { fetch, isOffline = false, createHttpClient = Deno.createHttpClient }: ProbeOptions,
): Promise<boolean> {
  if (fetch === undefined || !URL.canParse(mirror.url) || !isContacted(mirror.url, isOffline)) return false;
  try {
    const signal = AbortSignal.timeout(PROBE_TIMEOUT);
    const request = new Request(new URL("/v2/", mirror.url), { redirect: "manual", signal });
    using client = await openClient(mirror, reader, createHttpClient);
    const response = await fetch(request, { client });
    await response.body?.cancel();
    return response.status === 401;
  } catch {
    // `probeMirror` reports why it does not answer.
    return false;
  }
}

function isContacted(url: string, isOffline: boolean): boolean {
  return !isOffline || isPrivateHost(new URL(url).host);
}

/** Opens a client that trusts for a mirror what the mirror's clients trust; none for plain http. */
async function openClient(
  mirror: UsedMirror,
  reader: FolderReader,
  create: NonNullable<ProbeOptions["createHttpClient"]>,
): Promise<Deno.HttpClient | undefined> {
  const { url, path, caFile } = mirror;
  if (!url.startsWith("https:")) return undefined;
  const named = caFile === undefined ? undefined : await readReadable(reader, resolvePath(path, caFile));
  return create({
    caCerts: [named, ...await readTrusted(mirror, reader)].filter((it) => it !== undefined && it !== "") as string[],
  });
}

/** Reads the certificates that a client trusts for a mirror without naming them, and those of the system. */
async function readTrusted({ url, client }: UsedMirror, reader: FolderReader): Promise<string[]> {
  const own = client.certificatesFolder?.(client.path);
  const folder = `${own}/${new URL(url).host}`;
  const names = own === undefined ? [] : await reader.listNames(folder).catch(() => []);
  const paths = [
    ...names.filter((name) => name.endsWith(".crt")).map((name) => `${folder}/${name}`),
    ...SYSTEM_CERTIFICATES,
  ];
  const texts = await Promise.all(paths.map((path) => readReadable(reader, path)));
  return texts.filter((text) => text !== undefined);
}

/** Reads a file; empty when this user must not read it. */
async function readReadable(reader: FolderReader, path: string): Promise<string | undefined> {
  try {
    return await reader.readText(path);
  } catch {
    return "";
  }
}

// containerd resolves relative paths from the folder of hosts.toml.
function resolvePath(path: string, caFile: string): string {
  return caFile.startsWith("/") ? caFile : `${path.slice(0, path.lastIndexOf("/"))}/${caFile}`;
}

async function isCrpe(url: string, fetch: (request: Request) => Promise<Response>): Promise<boolean> {
  // The URL may have a path, such as /v2.
  const request = new Request(new URL("/healthz", url), {
    redirect: "manual",
    signal: AbortSignal.timeout(PROBE_TIMEOUT),
  });
  const response = await fetch(request);
  const text = response.headers.get("content-type") === "application/json" ? (await response.text()).trim() : "";
  if (!response.bodyUsed) await response.body?.cancel();
  return /^\{\s*"status"\s*:\s*"ok"\s*\}$/.test(text);
}
