import { type PeerResult, runPeer } from "./peers.ts";

/** Options of skopeo and podman. */
export interface ContainerToolsOptions {
  /** The content of `registries.conf`; by default there are no mirrors and no short names. */
  readonly registriesConf?: string;
}

/**
 * skopeo and podman with a home, configuration and storage of their own, which are removed when this is disposed of.
 * They accept plain HTTP and unsigned images.
 */
export class ContainerTools implements AsyncDisposable {
  /** The home of this instance; tests may write files there. */
  readonly home: string;

  private constructor(home: string) {
    this.home = home;
  }

  static async create(options: ContainerToolsOptions = {}): Promise<ContainerTools> {
    const home = await Deno.makeTempDir({ prefix: "crpe-tools-" });
    const config = `${home}/.config/containers`;
    await Deno.mkdir(config, { recursive: true });
    await Deno.mkdir(`${home}/run`, { mode: 0o700 });
    // podman fails when its auth file does not exist.
    await Deno.writeTextFile(`${home}/auth.json`, "{}");
    // A user's files replace those below /etc, also for root (containers-registries.conf(5)).
    await Deno.writeTextFile(`${config}/policy.json`, '{"default":[{"type":"insecureAcceptAnything"}]}');
    await Deno.writeTextFile(
      `${config}/registries.conf`,
      options.registriesConf ?? "unqualified-search-registries = []\n",
    );
    return new ContainerTools(home);
  }

  /** Runs skopeo; `--tls-verify=false` is added to the subcommands that support it. */
  skopeo(args: readonly string[]): Promise<PeerResult> {
    const [command = "", ...rest] = args;
    const flags = command === "copy" || command === "sync"
      ? ["--src-tls-verify=false", "--dest-tls-verify=false"]
      : ["delete", "inspect", "list-tags", "login"].includes(command)
      ? ["--tls-verify=false"]
      : [];
    const global = [`--policy=${this.home}/.config/containers/policy.json`, `--tmpdir=${this.home}`];
    return runPeer("skopeo", [...global, command, ...flags, ...rest], { env: this.#env() });
  }

  /** Runs podman; `--tls-verify=false` is added to the subcommands that support it. */
  podman(args: readonly string[]): Promise<PeerResult> {
    const [command = "", ...rest] = args;
    const flags = ["login", "pull", "push", "run", "search"].includes(command) ? ["--tls-verify=false"] : [];
    const global = [
      `--root=${this.home}/storage`,
      `--runroot=${this.home}/run/containers`,
      `--tmpdir=${this.home}/run/libpod`,
      // Overlay needs a kernel module or FUSE, and systemd needs a session. A container that tests run in has neither.
      "--storage-driver=vfs",
      "--cgroup-manager=cgroupfs",
      "--events-backend=none",
    ];
    return runPeer("podman", [...global, command, ...flags, ...rest], { env: this.#env() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.home, { recursive: true });
  }

  #env(): Record<string, string> {
    return {
      HOME: this.home,
      XDG_CONFIG_HOME: `${this.home}/.config`,
      XDG_DATA_HOME: `${this.home}/.local/share`,
      XDG_RUNTIME_DIR: `${this.home}/run`,
      REGISTRY_AUTH_FILE: `${this.home}/auth.json`,
      TMPDIR: this.home,
    };
  }
}
