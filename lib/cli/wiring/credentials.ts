import { decodeText, toUtf8 } from "../../oci/to_utf8.ts";
import { readText } from "../../files/read_text.ts";
import { normalizeHost } from "../../oci/reference.ts";
import { prefixOf, WELL_KNOWN_REGISTRIES } from "../../upstream/endpoints.ts";
import { type Credential, type DockerConfig, parseDockerConfig } from "../../upstream/trust/docker_config.ts";
import type { LoginRequest } from "../../upstream/upstream_options.ts";
import type { ConfigFile, HostConfig } from "../command_line/config_file.ts";
import type { Settings } from "../command_line/settings.ts";
import { withStoredRegistries } from "../command_line/stored_registries.ts";
import type { Io } from "../console/io.ts";
import { WatchedFile } from "./watched_file.ts";
import { cannot, CrpeError } from "../../oci/error.ts";
import { describeSystemError } from "../../oci/system_error.ts";

/** What the credentials are read from. */
interface CredentialSettings extends Pick<Settings, "config" | "configPath" | "storedHosts"> {
  /** Monotonic clock, in milliseconds. */
  readonly now?: () => number;
}

type Hosts = ReadonlyMap<string, HostConfig>;

/** Where the settings of hosts come from, by their normalized names. */
interface HostSources {
  /** The configuration as it is now, with the registries of the page that it does not name. */
  readonly current: () => Hosts;
  /** The registries of the page, as they were when this was opened. */
  readonly ofPage: Hosts;
}

/** How files are read. */
interface Reading {
  readonly warn: (message: string) => void;
  readonly now: (() => number) | undefined;
}

/**
 * The credentials for registries: from the configuration, else from docker's and podman's own files. All files are read
 * again when they change, because a login may be valid for some hours only (fault 72).
 */
export class Credentials {
  readonly #hosts: HostSources;
  readonly #files: readonly WatchedFile<DockerConfig>[];
  readonly #secrets = new Map<string, WatchedFile<string>>();
  readonly #reading: Reading;

  private constructor(hosts: HostSources, files: readonly WatchedFile<DockerConfig>[], reading: Reading) {
    this.#hosts = hosts;
    this.#files = files;
    this.#reading = reading;
  }

  /** Opens the credential files. @throws {Error} when a file that the configuration names cannot be read */
  static async open(settings: CredentialSettings, io: Io, warn: (message: string) => void): Promise<Credentials> {
    const reading = { warn, now: settings.now };
    const files = credentialFiles(io).map((path) => openDockerConfig(path, reading));
    const hosts = { current: await watchHosts(settings, reading), ofPage: byName(settings.storedHosts ?? {}) };
    const credentials = new Credentials(hosts, files, reading);
    for (const [name, host] of Object.entries(settings.config.hosts)) {
      for (const field of ["password-file", "identity-token-file"] as const) {
        const path = host[field];
        if (path !== undefined) await readNamed(path, `hosts.${name}.${field}`);
      }
    }
    // Problems of the files are reported at the start.
    for (const file of files) file.value;
    return credentials;
  }

  /** Returns the credential for a request. */
  for({ registryHost, endpoint, path }: LoginRequest): Credential | undefined {
    const endpointHost = normalizeHost(endpoint.url.host);
    // An endpoint of `*` serves many registries, and gets none of their logins.
    const name = endpoint.isShared ? "*" : registryHost;
    const configured = endpoint.isFromPage
      ? this.#credentialOf(this.#hosts.ofPage.get(normalizeHost(name)))
      : this.configured(name) ?? this.configured(endpointHost);
    if (configured !== undefined) return configured;
    // A user of the page must not learn the logins of this machine's files.
    if (endpoint.isFromPage && endpoint.url.protocol !== "https:") return undefined;
    const prefix = prefixOf(endpoint.url);
    const endpointPath = prefix === "" || path === "" ? `${prefix}${path}` : `${prefix}/${path}`;
    // A private registry may have an address that differs from its name: its login is sent there. The login of a public
    // registry is never sent to a mirror of it.
    const isMirror = WELL_KNOWN_REGISTRIES.includes(registryHost) && endpointHost !== registryHost;
    const isNamed = !endpoint.isShared && !endpoint.mustBePublic && !endpoint.isFromPage && !isMirror;
    for (const { value } of this.#files) {
      const byAddress = value?.find(endpointHost, endpointPath);
      const byName = isNamed ? value?.find(registryHost, path) : undefined;
      const found = (byName?.depth ?? -1) > (byAddress?.depth ?? -1) ? byName : byAddress;
      if (found !== undefined) return found.credential;
    }
    return undefined;
  }

  /** Returns the configured credential of a host, given as in image names. */
  configured(name: string): Credential | undefined {
    return this.#credentialOf(this.#hosts.current().get(normalizeHost(name)));
  }

  #credentialOf(host: HostConfig | undefined): Credential | undefined {
    if (host === undefined) return undefined;
    const { username } = host;
    const password = this.#secretOf(host, "password-file") ?? host.password;
    const identityToken = this.#secretOf(host, "identity-token-file") ?? host["identity-token"];
    if (username === undefined && identityToken === undefined) return undefined;
    return { username, password, identityToken };
  }

  #secretOf(host: HostConfig, field: "password-file" | "identity-token-file"): string | undefined {
    const path = host[field];
    if (path === undefined) return undefined;
    let file = this.#secrets.get(path);
    if (file === undefined) {
      const { warn, now } = this.#reading;
      file = new WatchedFile(path, {
        parse: (bytes) => decodeText(bytes, path).replace(/\r?\n$/, ""),
        onProblem: (error) =>
          warn(`Cannot read ${path} (${field}): ${describeSystemError(error)}; the last content is used`),
        isKept: true,
        now,
      });
      this.#secrets.set(path, file);
    }
    return file.value;
  }
}

// The configuration file may be changed while crpe runs; of such a change only the logins count.
async function watchHosts(
  { config, configPath, storedHosts = {} }: CredentialSettings,
  { warn, now }: Reading,
): Promise<() => Hosts> {
  const atStart = byName(config.hosts);
  if (configPath === undefined) return () => atStart;
  // Loaded already, because the configuration was read.
  const { parseConfigFile } = await import("../command_line/config_file.ts");
  const file = new WatchedFile(configPath, {
    parse: (bytes) => {
      const config = parseConfigFile(decodeText(bytes, configPath), configPath);
      return byName(withStoredRegistries(config, storedHosts).hosts);
    },
    onProblem: ({ message }) => warn(`${message}; the logins that were read before are used`),
    isKept: true,
    now,
  });
  return () => file.value ?? atStart;
}

function byName(hosts: ConfigFile["hosts"]): Hosts {
  return new Map(Object.entries(hosts).map(([name, host]) => [normalizeHost(name), host]));
}

function openDockerConfig(path: string, { warn, now }: Reading): WatchedFile<DockerConfig> {
  const warned = new Set<string>();
  return new WatchedFile(path, {
    parse(bytes) {
      const config = parseDockerConfig(toUtf8(bytes, path), path);
      const helpers = config.helpers.filter((helper) => !warned.has(helper));
      for (const helper of helpers) warned.add(helper);
      if (helpers.length > 0) warn(describeHelpers(path, helpers));
      return config;
    },
    onProblem: (error) => {
      const { message } = error instanceof CrpeError
        ? error
        : new CrpeError(cannot(`read ${path}`, describeSystemError(error)));
      warn(`${message}; the file is ignored`);
    },
    now,
  });
}

function describeHelpers(path: string, helpers: readonly string[]): string {
  const names = helpers.map((helper) => `docker-credential-${helper}`).join(", ");
  return `${path} keeps logins in ${names}, which crpe does not run; ` +
    "where a registry needs such a login, put it into password-file of the configuration";
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

/** Reads a file that the configuration names. @throws {Error} when it cannot be read */
export async function readNamed(path: string, field: string): Promise<string> {
  try {
    return await readText(path);
  } catch (cause) {
    const reason = cause instanceof Deno.errors.NotFound ? "no such file" : describeSystemError(cause);
    throw new CrpeError(cannot(`read ${path} (${field})`, reason), { cause });
  }
}
