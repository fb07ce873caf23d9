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
    const process = new Deno.Command(path, {
      args: ["--config", `${folder}/config.toml`],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "", TMPDIR: folder },
    }).spawn();
    const containerd = new Containerd(folder, process);
    try {
      await containerd.#waitUntilReady();
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

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // The process has ended already.
    }
    await Promise.all([this.#process.status, this.#log]);
    await Deno.remove(this.#folder, { recursive: true });
  }

  async #waitUntilReady(): Promise<void> {
    let last: PeerResult | undefined;
    const ended = this.#process.status.then(() => "ended" as const);
    for (let tries = 0; tries < START_TRIES; tries++) {
      last = await this.ctr(["version"]);
      if (last.code === 0) return;
      const pause = new Promise<"again">((resolve) => setTimeout(() => resolve("again"), 20));
      if (await Promise.race([ended, pause]) === "ended") break;
    }
    throw new Error(`Cannot start containerd: ${last?.stderr}`);
  }
}
