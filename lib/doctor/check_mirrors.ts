import { createFolderReader, type FolderReader } from "../files/folder_reader.ts";
import { CONTAINERD } from "../mirror/containerd.ts";
import { readContainerdConfig } from "../mirror/containerd_config.ts";
import { whyFolderUnread } from "../mirror/containerd_folder.ts";
import { CRIO } from "../mirror/containers_conf.ts";
import { DOCKER } from "../mirror/docker_daemon.ts";
import { K3S } from "../mirror/k3s.ts";
import { folderOf, type MirrorClient } from "../mirror/mirror.ts";
import { checkDockerStore } from "./check_docker_store.ts";
import type { Finding } from "./finding.ts";
import { asksForLogin, probeMirror, type ProbeOptions, type UsedMirror } from "./probe_mirror.ts";
import { describeSystemError } from "../oci/system_error.ts";

/** The options of `checkMirrors`. */
interface MirrorsOptions extends ProbeOptions {
  /** The root folder, which contains `etc`. */
  readonly root: string;
}

// podman and CRI-O share their configuration files.
const CLIENTS: readonly (readonly [name: string, client: MirrorClient])[] = [
  ["k3s", K3S],
  ["containerd", CONTAINERD],
  ["podman and CRI-O", CRIO],
  ["docker", DOCKER],
];

// k3s writes it at each start.
const K3S_GENERATED = "/var/lib/rancher/k3s/agent/etc/containerd/config.toml";

/** Checks which clients of this machine use a mirror, whether it is a crpe that answers, and whether they really use it. */
export async function checkMirrors({ root, ...options }: MirrorsOptions): Promise<Finding[]> {
  const prefix = root.replace(/\/+$/, "");
  const checks = CLIENTS.map(([name, client]) =>
    checkClient(client, { step: `mirror of ${name}`, prefix, ...options })
  );
  const findings = (await Promise.all(checks)).flat();
  if (findings.length > 0) return findings;
  const message = "no client on this machine is configured to use a mirror";
  return [{ step: "mirror", status: "ok", message, advice: "to configure one, run crpe mirror-config CLIENT --write" }];
}

interface ClientOptions extends ProbeOptions {
  readonly step: string;
  /** What to put in front of the paths of the machine. */
  readonly prefix: string;
}

async function checkClient(client: MirrorClient, { step, prefix, ...options }: ClientOptions): Promise<Finding[]> {
  const reader = createFolderReader(prefix);
  const mirrors = new Map<string, UsedMirror>();
  const findings: Finding[] = [];
  const cannotRead = (path: string, error: unknown) =>
    findings.push({ step, ...describeFailure(`${prefix}${path} cannot be read`, error) });
  const paths = await listFiles(client, reader).catch((error) => {
    cannotRead(folderOf(client.path), error);
    return [];
  });
  let config = "";
  for (const path of paths) {
    try {
      const text = await reader.readText(path);
      config = text ?? "";
      for (const mirror of text === undefined ? [] : client.listMirrors(text)) {
        const known = mirrors.get(mirror.url);
        if (known === undefined || known.problem === undefined && mirror.problem !== undefined) {
          mirrors.set(mirror.url, { ...mirror, client, path });
        }
      }
    } catch (error) {
      cannotRead(path, error);
    }
  }
  const verdicts = await Promise.all([...mirrors.values()].map((mirror) => probeMirror(mirror, reader, options)));
  findings.push(...verdicts.map((verdict) => ({ step, ...verdict })));
  if (mirrors.size === 0) return findings;
  const use = client === CONTAINERD
    ? await checkFolder(reader)
    : client === K3S
    ? await checkRestart(prefix, [...mirrors.keys()])
    : client === DOCKER
    ? await checkDockerStore({ prefix, config, listClosed: () => listClosed([...mirrors.values()], reader, options) })
    : undefined;
  return use === undefined ? findings : [...findings, { step, ...use }];
}

async function listClosed(
  mirrors: readonly UsedMirror[],
  reader: FolderReader,
  options: ProbeOptions,
): Promise<string[]> {
  const asking = await Promise.all(mirrors.map((mirror) => asksForLogin(mirror, reader, options)));
  return mirrors.filter((_, i) => asking[i]).map(({ url }) => url);
}

/** Lists the configuration files of a client. */
async function listFiles(client: MirrorClient, reader: FolderReader): Promise<string[]> {
  if (client === CONTAINERD) {
    return (await reader.listNames(client.path)).map((name) => `${client.path}/${name}/hosts.toml`);
  }
  if (client !== CRIO) return [client.path];
  const folder = folderOf(client.path);
  const names = (await reader.listNames(folder)).filter((name) => name.endsWith(".conf"));
  return [folder.replace(/\.d$/, ""), ...names.map((name) => `${folder}/${name}`)];
}

/** Checks whether containerd reads its folder of registries. */
async function checkFolder(reader: FolderReader): Promise<Omit<Finding, "step"> | undefined> {
  try {
    const unread = whyFolderUnread(await readContainerdConfig(reader), CONTAINERD.path);
    if (unread === undefined) return undefined;
    const lines = unread.lines?.trim().replaceAll(/\s+/g, " ");
    return {
      status: unread.isNever ? "broken" : "warning",
      message: unread.reason,
      advice: lines === undefined
        ? "change containerd's configuration as described, and restart containerd"
        : `run crpe mirror-config containerd --write, or set ${lines}, and restart containerd`,
    };
  } catch (error) {
    return describeFailure("containerd's configuration cannot be checked", error);
  }
}

function describeFailure(message: string, error: unknown): Omit<Finding, "step"> {
  const isDenied = error instanceof Deno.errors.PermissionDenied;
  return {
    status: isDenied ? "skipped" : "broken",
    message: `${message}: ${isDenied ? "permission denied" : describeSystemError(error)}`,
    advice: "correct the file, or run crpe doctor as root",
  };
}

/** Checks whether k3s was started after its file was changed. */
async function checkRestart(prefix: string, urls: readonly string[]): Promise<Omit<Finding, "step"> | undefined> {
  const [configured, generated] = await Promise.all(
    [K3S.path, K3S_GENERATED].map((path) => Deno.stat(prefix + path).then(({ mtime }) => mtime, () => null)),
  );
  // k3s has never run here, or this user must not see its folder.
  if (!configured || !generated || configured <= generated) return undefined;
  return {
    status: "warning",
    message: `k3s does not use ${urls.join(", ")} yet: ${prefix}${K3S.path} was changed after its last start`,
    advice: K3S.restart,
  };
}
