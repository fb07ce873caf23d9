/** A program other than ours that tests run against; the name is that of its executable. */
export type Peer =
  | "docker-registry"
  | "containerd"
  | "ctr"
  | "go"
  | "jq"
  | "kubectl"
  | "nginx"
  | "openssl"
  | "podman"
  | "skopeo"
  | "strace"
  | "tar"
  | "umoci"
  | "curl"
  | "zstd";

/** What a program that has ended left behind. */
export interface PeerResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The path of a peer, or `undefined` where it is not installed. */
export function findPeer(name: Peer): string | undefined {
  // Servers are in sbin, which is not on everybody's PATH.
  const folders = [...(Deno.env.get("PATH") ?? "").split(":"), "/usr/sbin", "/sbin"];
  const paths = folders.map((folder) => `${folder}/${name}`);
  if (name === "kubectl") paths.unshift(...fetchedKubectl());
  return paths.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** Tells whether a peer is installed. */
export function hasPeer(name: Peer): boolean {
  return findPeer(name) !== undefined;
}

// $KUBECTL, or the one that scripts/peers/kubectl has fetched.
function fetchedKubectl(): string[] {
  const given = Deno.env.get("KUBECTL");
  if (given) return [given];
  const cache = `${Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME")}/.cache`}/crpe-tools`;
  return [`${cache}/kubectl-1.37.1/kubectl`];
}

/**
 * Registers a test that needs peers. Where one is missing the test is skipped, and its name says why; in CI
 * (`CI=true`) it fails instead, so that a skip cannot go unseen.
 */
export function peerTest(name: string, peers: readonly Peer[], fn: () => Promise<void>): void {
  const missing = peers.flatMap((peer) =>
    !hasPeer(peer) ? [peer] : peer === "containerd" && !isRoot() ? ["root for containerd"] : []
  );
  testWith(missing, name, fn);
}

/** As `peerTest`, for a test that takes root: it mounts file systems, or makes network namespaces. */
export function rootTest(name: string, fn: () => Promise<void>): void {
  testWith(isRoot() ? [] : ["root"], name, fn);
}

function isRoot(): boolean {
  return Deno.build.os === "linux" && Deno.uid() === 0;
}

function testWith(missing: readonly string[], name: string, fn: () => Promise<void>): void {
  if (missing.length === 0) return Deno.test(name, fn);
  const reason = `needs ${missing.join(", ")}`;
  if (Deno.env.get("CI") !== "true") return Deno.test({ name: `${name} (skipped: ${reason})`, ignore: true, fn });
  Deno.test(name, () => {
    throw new Error(`Cannot run the test: it ${reason}`);
  });
}

/** Runs a peer to its end. It sees only the environment given, and PATH. */
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
