import { normalizeHost } from "../../oci/reference.ts";
import { type Credential, type DockerConfig, parseDockerConfig } from "../../upstream/trust/docker_config.ts";
import type { ConfigFile, HostConfig } from "../command_line/config_file.ts";
import type { Io } from "../console/io.ts";

/** The credentials for registries: from the configuration, else from docker's and podman's own files. */
export class Credentials {
  readonly #hosts: ReadonlyMap<string, HostConfig>;
  readonly #passwords: ReadonlyMap<string, string>;
  readonly #files: readonly DockerConfig[];

  private constructor(
    hosts: ReadonlyMap<string, HostConfig>,
    passwords: ReadonlyMap<string, string>,
    files: readonly DockerConfig[],
  ) {
    this.#hosts = hosts;
    this.#passwords = passwords;
    this.#files = files;
  }

  /** Reads the credential files. @throws {Error} when a file that the configuration names cannot be read */
  static async read(config: ConfigFile, io: Io, warn: (message: string) => void): Promise<Credentials> {
    const hosts = new Map<string, HostConfig>();
    const passwords = new Map<string, string>();
    for (const [name, host] of Object.entries(config.hosts)) {
      hosts.set(normalizeHost(name), host);
      const file = host["password-file"];
      const password = file === undefined
        ? host.password
        : (await readNamed(file, `hosts.${name}.password-file`)).replace(/\r?\n$/, "");
      if (password !== undefined) passwords.set(normalizeHost(name), password);
    }
    const files: DockerConfig[] = [];
    for (const path of credentialFiles(io)) {
      const bytes = await readIfPresent(path, warn);
      if (bytes === undefined) continue;
      try {
        files.push(parseDockerConfig(bytes, path));
      } catch (error) {
        warn(`${(error as Error).message}; the file is ignored`);
      }
    }
    return new Credentials(hosts, passwords, files);
  }

  /** Returns the configured credential of a host, given as in image names. */
  configured(name: string): Credential | undefined {
    const host = normalizeHost(name);
    const { username, "identity-token": identityToken } = this.#hosts.get(host) ?? {};
    const password = this.#passwords.get(host);
    if (username === undefined && identityToken === undefined) return undefined;
    return {
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      ...(identityToken === undefined ? {} : { identityToken }),
    };
  }

  /** Returns the credential from docker's or podman's files for a host and a repository path on it. */
  fromFiles(host: string, path?: string): Credential | undefined {
    for (const file of this.#files) {
      const found = file.credentialFor(host, path);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Reads the CA certificates (PEM) that are configured for a host. @throws {Error} when the file cannot be read */
  async caCertsOf(name: string): Promise<string[]> {
    const file = this.#hosts.get(normalizeHost(name))?.["ca-file"];
    return file === undefined ? [] : [await readNamed(file, `hosts.${name}.ca-file`)];
  }
}

function credentialFiles(io: Io): string[] {
  const home = io.env("HOME");
  const [docker, runtime] = [io.env("DOCKER_CONFIG"), io.env("XDG_RUNTIME_DIR")];
  const config = io.env("XDG_CONFIG_HOME") ?? (home === undefined ? undefined : `${home}/.config`);
  const dockerFolder = docker ?? (home === undefined ? undefined : `${home}/.docker`);
  return [
    io.env("REGISTRY_AUTH_FILE"),
    runtime && `${runtime}/containers/auth.json`,
    config && `${config}/containers/auth.json`,
    dockerFolder && `${dockerFolder}/config.json`,
  ].filter((path) => path !== undefined && path !== "") as string[];
}

async function readNamed(path: string, field: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "no such file" : (cause as Error).message;
    throw new Error(`Cannot read ${path} (${field}): ${reason}`, { cause });
  }
}

async function readIfPresent(path: string, warn: (message: string) => void): Promise<Uint8Array | undefined> {
  try {
    return await Deno.readFile(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) warn(`Cannot read ${path}: ${(error as Error).message}`);
    return undefined;
  }
}
