/** The executable of a real client, registry or tool that tests run against. */
export type Peer =
  | "bash"
  | "docker-registry"
  | "containerd"
  | "containerd2"
  | "cosign"
  | "chromium"
  | "crane"
  | "crictl"
  | "cue_registry"
  | "ctr"
  | "go"
  | "gunzip"
  | "gzip"
  | "ip"
  | "helm"
  | "jq"
  | "k3s_registries"
  | "kubectl"
  | "faketime"
  | "fish"
  | "man"
  | "mkfifo"
  | "mount"
  | "nginx"
  | "nsenter"
  | "openssl"
  | "oras"
  | "podman"
  | "python3"
  | "setpriv"
  | "regctl"
  | "script"
  | "skopeo"
  | "kube_yaml"
  | "strace"
  | "tar"
  | "umoci"
  | "zsh"
  | "unshare"
  | "versitygw"
  | "weed"
  | "curl"
  | "zstd";

/** What a test may need: a peer, root, the module `yaml` of Python, Linux's /proc, or multicast on loopback. */
export type Need = Peer | "root" | "PyYAML" | "/proc" | "multicast";

/** The exit status and output of a program. */
export interface PeerResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

// Peers that are built from Go, in the folder that $CRPE_PEERS names, and the names of their files there. The system may
// have other versions of them.
const BUILT: Readonly<Partial<Record<Peer, string>>> = {
  containerd2: "containerd",
  crane: "crane",
  crictl: "crictl",
  cue_registry: "cue_registry",
  helm: "helm",
  k3s_registries: "k3s_registries",
  kube_yaml: "kube_yaml",
  oras: "oras",
  regctl: "regctl",
};

// The Chromium without windows takes half of the processor time. It is not started by its script in /usr/bin: when that is
// killed, the browser stays.
const PREFERRED: Readonly<Partial<Record<Peer, string>>> = { chromium: "/usr/lib/chromium/chromium-headless-shell" };

// Those in the folder that $CRPE_S3 names.
const STORAGES: readonly Peer[] = ["versitygw", "weed"];

/** Finds the path of a peer, or `undefined` when it is not installed. */
export function findPeer(name: Peer): string | undefined {
  const built = STORAGES.includes(name) ? name : BUILT[name];
  const folder = Deno.env.get(STORAGES.includes(name) ? "CRPE_S3" : "CRPE_PEERS");
  // Servers are in sbin, which is not on the PATH of every user.
  const folders = built === undefined
    ? [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin"]
    : folder
    ? [folder]
    : [];
  const paths = [PREFERRED[name] ?? [], folders.map((folder) => `${folder}/${built ?? name}`)].flat();
  if (name === "kubectl") paths.unshift(...fetchedKubectl());
  return paths.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

// $KUBECTL, or the one that scripts/peers/kubectl has fetched.
function fetchedKubectl(): string[] {
  const given = Deno.env.get("KUBECTL");
  if (given) return [given];
  const cache = `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/crpe-tools`;
  return [`${cache}/kubectl-1.37.1/kubectl`];
}

/**
 * Registers a test with its needs. When one is missing, the test is skipped and its name says why. In CI (`CI=true`) it
 * fails instead, so that a skip is noticed.
 */
export function peerTest(
  test: string | Pick<Deno.TestDefinition, "name" | "sanitizeResources">,
  needs: readonly Need[],
  fn: () => Promise<void>,
): void {
  const definition = typeof test === "string" ? { name: test } : test;
  const { name } = definition;
  const missing = needs.flatMap((need) =>
    !isThere(need) ? [need] : need.startsWith("containerd") && !isRoot() ? [`root for ${need}`] : []
  );
  if (missing.length === 0) return Deno.test({ ...definition, fn });
  const reason = `needs ${missing.join(", ")}`;
  if (Deno.env.get("CI") !== "true") return Deno.test({ name: `${name} (skipped: ${reason})`, ignore: true, fn });
  Deno.test(name, () => {
    throw new Error(`Cannot run the test: it ${reason}`);
  });
}

function isThere(need: Need): boolean {
  if (need === "root") return isRoot();
  if (need === "/proc") return Deno.build.os === "linux";
  if (need === "multicast") return canMulticast();
  if (need !== "PyYAML") return findPeer(need) !== undefined;
  const python = findPeer("python3");
  return python !== undefined && new Deno.Command(python, { args: ["-c", "import yaml"] }).outputSync().success;
}

function canMulticast(): boolean {
  const probe = new URL("probe_multicast.ts", import.meta.url).pathname;
  const config = new URL("../../deno.json", import.meta.url).pathname;
  const args = ["run", "-q", "-A", "--no-check", `--config=${config}`, probe];
  return new Deno.Command(Deno.execPath(), { args, stdout: "null" }).outputSync().success;
}

function isRoot(): boolean {
  return Deno.build.os === "linux" && Deno.uid() === 0;
}

/** Runs a peer to its end, with PATH and the given environment only. */
export async function runPeer(
  name: Peer,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Promise<PeerResult> {
  const path = findPeer(name);
  if (path === undefined) throw new Error(`Cannot run ${name}: it is not installed`);
  const { code, stdout, stderr } = await new Deno.Command(path, {
    args: [...args],
    stdin: "null",
    clearEnv: true,
    env: { PATH: Deno.env.get("PATH") ?? "", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}
