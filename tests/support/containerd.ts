import { findPeer, type PeerResult, runPeer } from "./peers.ts";
import { TestFolder } from "./test_folder.ts";

const PATIENCE_MILLISECONDS = 30_000;

/** A containerd of its own: its content, state and socket are in a folder that goes when it is disposed of. */
export class Containerd implements AsyncDisposable {
  readonly #folder: TestFolder;
  readonly #process: Deno.ChildProcess;

  private constructor(folder: TestFolder, process: Deno.ChildProcess) {
    this.#folder = folder;
    this.#process = process;
  }

  /** Starts it, and waits until it answers. */
  static async start(): Promise<Containerd> {
    const folder = await TestFolder.create();
    // Without what Kubernetes asks it for, which wants a network's configuration.
    const config = await folder.write(
      "config.toml",
      [
        "version = 2",
        `root = "${folder.path}/root"`,
        `state = "${folder.path}/state"`,
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
        "[grpc]",
        `address = "${folder.path}/containerd.sock"`,
      ].join("\n"),
    );
    const log = `${folder.path}/log`;
    const process = new Deno.Command("sh", {
      args: ["-c", 'exec "$0" --config "$1" >"$2" 2>&1', findPeer("containerd")!, config, log],
    }).spawn();
    const containerd = new Containerd(folder, process);
    let hasEnded = false;
    process.status.then(() => hasEnded = true);
    for (const began = Date.now(); (await containerd.ctr(["version"])).code !== 0;) {
      if (!hasEnded && Date.now() - began < PATIENCE_MILLISECONDS) continue;
      const text = await Deno.readTextFile(log);
      await containerd[Symbol.asyncDispose]();
      throw new Error(`Cannot start containerd: ${text}`);
    }
    return containerd;
  }

  /** Runs its client. */
  ctr(args: readonly string[]): Promise<PeerResult> {
    return runPeer("ctr", [`--address=${this.#folder.path}/containerd.sock`, "--namespace=test", ...args]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#process.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await this.#process.status;
    await this.#folder[Symbol.asyncDispose]();
  }
}
