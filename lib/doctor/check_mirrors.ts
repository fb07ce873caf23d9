import { listFolder, readTextIfPresent } from "../files/read_if_present.ts";
import { CONTAINERD, CONTAINERD_CONFIG, whyFolderUnread } from "../mirror/containerd.ts";
import { CRIO } from "../mirror/containers_conf.ts";
import { DOCKER } from "../mirror/docker_daemon.ts";
import { K3S } from "../mirror/k3s.ts";
import type { MirrorClient } from "../mirror/mirror.ts";
import type { RuntimeFetch } from "../upstream/transport/send_once.ts";
import type { Finding } from "./finding.ts";

/** The options of `checkMirrors`. */
export interface MirrorsOptions {
  /** The root folder, which contains `etc`. */
  readonly root: string;
  /** Sends requests to the mirrors; no mirror is contacted when absent. */
  readonly fetch?: RuntimeFetch | undefined;
}

const PROBE_TIMEOUT = 5000;

// podman and CRI-O share their configuration files.
const CLIENTS: readonly (readonly [name: string, client: MirrorClient])[] = [
  ["k3s", K3S],
  ["containerd", CONTAINERD],
  ["podman and CRI-O", CRIO],
  ["docker", DOCKER],
];

/** Checks which clients of this machine use a mirror, and whether each mirror is a crpe that answers. */
export async function checkMirrors(options: MirrorsOptions): Promise<Finding[]> {
  const root = options.root.replace(/\/+$/, "");
  const findings = (await Promise.all(CLIENTS.map(([name, client]) => checkClient(name, client, { ...options, root }))))
    .flat();
  if (findings.length > 0) return findings;
  const message = "no client on this machine is configured to use a mirror";
  return [{ step: "mirror", status: "ok", message, advice: "to configure one, run crpe mirror-config CLIENT --write" }];
}

async function checkClient(name: string, client: MirrorClient, { root, fetch }: MirrorsOptions): Promise<Finding[]> {
  const step = `mirror of ${name}`;
  const mirrors = new Map<string, string>();
  const findings: Finding[] = [];
  for (const path of await listFiles(client, `${root}${client.path}`)) {
    try {
      const text = await readTextIfPresent(path);
      for (const url of text === undefined ? [] : client.listMirrors(text)) {
        if (!mirrors.has(url)) mirrors.set(url, path);
      }
    } catch (error) {
      const reason = error instanceof Deno.errors.PermissionDenied ? "permission denied" : (error as Error).message;
      const status = error instanceof Deno.errors.PermissionDenied ? "skipped" : "broken";
      findings.push({
        step,
        status,
        message: `${path} cannot be read: ${reason}`,
        advice: "correct the file, or run crpe doctor as root",
      });
    }
  }
  for (const [url, path] of mirrors) findings.push(await checkMirror(step, { url, path }, fetch));
  if (client === CONTAINERD && mirrors.size > 0) {
    const why = whyFolderUnread(await readTextIfPresent(`${root}${CONTAINERD_CONFIG}`).catch(() => ""), client.path);
    if (why !== undefined) findings.push({ step, status: "warning", message: why });
  }
  return findings;
}

/** Lists the configuration files of a client. */
async function listFiles(client: MirrorClient, place: string): Promise<string[]> {
  if (client === CONTAINERD) {
    return (await listFolder(place) ?? []).map(({ name }) => `${place}/${name}/hosts.toml`).sort();
  }
  if (client !== CRIO) return [place];
  const folder = place.slice(0, place.lastIndexOf("/"));
  const names = (await listFolder(folder) ?? []).map(({ name }) => name).filter((name) => name.endsWith(".conf"));
  return [folder.replace(/\.d$/, ""), ...names.sort().map((name) => `${folder}/${name}`)];
}

async function checkMirror(
  step: string,
  { url, path }: { url: string; path: string },
  fetch: RuntimeFetch | undefined,
): Promise<Finding> {
  const where = `${url}, named in ${path}`;
  if (fetch === undefined) return { step, status: "skipped", message: `${where}, is not contacted` };
  try {
    if (await isCrpe(url, fetch)) return { step, status: "ok", message: `${where}, is a crpe, and answers` };
    return { step, status: "ok", message: `${where}, answers; it is not a crpe` };
  } catch {
    const message = `${where}, does not answer`;
    return {
      step,
      status: "broken",
      message,
      advice: "start it (crpe registry), or correct the address (crpe mirror-config --to)",
    };
  }
}

async function isCrpe(url: string, fetch: RuntimeFetch): Promise<boolean> {
  const get = async (path: string) => {
    const request = new Request(`${url}${path}`, { redirect: "manual", signal: AbortSignal.timeout(PROBE_TIMEOUT) });
    const response = await fetch(request);
    const text = response.headers.get("content-type") === "application/json" ? (await response.text()).trim() : "";
    if (!response.bodyUsed) await response.body?.cancel();
    return text;
  };
  return /^\{\s*"status"\s*:\s*"ok"\s*\}$/.test(await get("/healthz"));
}
