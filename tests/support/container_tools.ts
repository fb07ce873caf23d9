import { type PeerResult, runPeer } from "./peers.ts";

/** What skopeo and podman are set up with. */
export interface ContainerToolsOptions {
  /** Content of `registries.conf`; without it there are no mirrors and no short names. */
  readonly registriesConf?: string;
}

/**
 * skopeo and podman with a home, a configuration and a storage of their own, which go when this is disposed of. They
 * accept plain HTTP and unsigned images.
 */
export class ContainerTools implements AsyncDisposable {
  /** A folder of this instance, for whatever a test wants to put there. */
  readonly home: string;

  private constructor(home: string) {
    this.home = home;
  }

  static async create(options: ContainerToolsOptions = {}): Promise<ContainerTools> {
    const home = await Deno.makeTempDir({ prefix: "crpe-tools-" });
    const config = `${home}/.config/containers`;
    await Deno.mkdir(config, { recursive: true });
    await Deno.mkdir(`${home}/run`, { mode: 0o700 });
    // podman wants the file that it is pointed at to exist.
    await Deno.writeTextFile(`${home}/auth.json`, "{}");
    // A user's files are read in place of those below /etc, also for root (containers-registries.conf(5)).
    await Deno.writeTextFile(`${config}/policy.json`, '{"default":[{"type":"insecureAcceptAnything"}]}');
    await Deno.writeTextFile(
      `${config}/registries.conf`,
      options.registriesConf ?? "unqualified-search-registries = []\n",
    );
    return new ContainerTools(home);
  }

  /** Runs skopeo; `--tls-verify=false` is added to the subcommands that know it. */
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

  /** Runs podman; `--tls-verify=false` is added to the subcommands that know it. */
  podman(args: readonly string[]): Promise<PeerResult> {
    const [command = "", ...rest] = args;
    const flags = ["login", "pull", "push", "run", "search"].includes(command) ? ["--tls-verify=false"] : [];
    const global = [
      `--root=${this.home}/storage`,
      `--runroot=${this.home}/run/containers`,
      `--tmpdir=${this.home}/run/libpod`,
      // Overlay needs a kernel module or FUSE, systemd a session: a container that tests run in has neither.
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

/** Runs skopeo once, with nothing kept. */
export async function skopeo(args: readonly string[]): Promise<PeerResult> {
  await using tools = await ContainerTools.create();
  return await tools.skopeo(args);
}

/** Runs podman once, with nothing kept. */
export async function podman(args: readonly string[]): Promise<PeerResult> {
  await using tools = await ContainerTools.create();
  return await tools.podman(args);
}
