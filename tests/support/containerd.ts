import { findPeer, type PeerResult, runPeer } from "./peers.ts";

const START_TRIES = 500;

/** A private containerd with an empty store, stopped and removed when it is disposed of. containerd needs root. */
export class Containerd implements AsyncDisposable {
  readonly #folder: string;
  readonly #process: Deno.ChildProcess;
  readonly #log: Promise<string>;

  private constructor(folder: string, process: Deno.ChildProcess) {
    this.#folder = folder;
    this.#process = process;
    this.#log = new Response(process.stderr).text();
  }

  /** Starts Debian's containerd, and waits until it responds. */
  static async start(): Promise<Containerd> {
    const path = findPeer("containerd");
    if (path === undefined) throw new Error("Cannot start containerd: it is not installed");
    const folder = await Deno.makeTempDir({ prefix: "crpe-containerd-" });
    await Deno.writeTextFile(
      `${folder}/config.toml`,
      `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "${folder}/containerd.sock"
[ttrpc]
  address = "${folder}/containerd.sock.ttrpc"
`,
    );
    return await Containerd.#spawn(folder, [path, "--config", `${folder}/config.toml`], {
      isReady: (containerd) => containerd.ctr(["version"]),
    });
  }

  /**
   * Starts a containerd with its CRI plugin, as Kubernetes uses it, and waits until that responds.
   *
   * @param peer which containerd: `containerd` is Debian's, `containerd2` is built from Go
   * @param etc the folder that it has as `/etc/containerd`, in a mount namespace of its own
   */
  static async startCri(peer: "containerd" | "containerd2", etc: string): Promise<Containerd> {
    const path = findPeer(peer);
    if (path === undefined) throw new Error(`Cannot start ${peer}: it is not installed`);
    const folder = await Deno.makeTempDir({ prefix: "crpe-containerd-" });
    const script = 'mount --bind "$1" /etc/containerd && shift && exec "$@"';
    const flags = ["--root", `${folder}/root`, "--state", `${folder}/state`, "--address", `${folder}/containerd.sock`];
    const command = ["unshare", "--mount", "sh", "-c", script, "sh", etc, path, ...flags];
    return await Containerd.#spawn(folder, command, { isReady: (containerd) => containerd.crictl(["version"]) });
  }

  static async #spawn(
    folder: string,
    [command = "", ...args]: readonly string[],
    { isReady }: { isReady: (containerd: Containerd) => Promise<PeerResult> },
  ): Promise<Containerd> {
    const process = new Deno.Command(command, {
      args,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "", TMPDIR: folder },
    }).spawn();
    const containerd = new Containerd(folder, process);
    try {
      await containerd.#waitUntil(isReady);
      return containerd;
    } catch (error) {
      await containerd[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs `ctr` against it. */
  ctr(args: readonly string[]): Promise<PeerResult> {
    return runPeer("ctr", ["--address", `${this.#folder}/containerd.sock`, ...args], { env: { HOME: this.#folder } });
  }

  /** Runs `crictl` against it. */
  crictl(args: readonly string[]): Promise<PeerResult> {
    const endpoint = `unix://${this.#folder}/containerd.sock`;
    const flags = [
      "--timeout=60s",
      "--max-retries=0",
      `--runtime-endpoint=${endpoint}`,
      `--image-endpoint=${endpoint}`,
    ];
    return runPeer("crictl", [...flags, ...args], { env: { HOME: this.#folder } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await Promise.all([this.#process.status, this.#log]);
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #waitUntil(isReady: (containerd: Containerd) => Promise<PeerResult>): Promise<void> {
    let last: PeerResult | undefined;
    const ended = this.#process.status.then(() => "ended" as const);
    for (let tries = 0; tries < START_TRIES; tries++) {
      last = await isReady(this);
      if (last.code === 0) return;
      const pause = new Promise<"again">((resolve) => setTimeout(() => resolve("again"), 20));
      if (await Promise.race([ended, pause]) === "ended") break;
    }
    throw new Error(`Cannot start containerd: ${last?.stderr}`);
  }
}
