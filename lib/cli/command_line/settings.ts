import { findFolderFault } from "../../files/folder_fault.ts";
import { readText } from "../../files/read_text.ts";
import { cannot, CorruptError, CrpeError, UsageError } from "../../oci/error.ts";
import { parsePlatforms, type Platform } from "../../oci/platform.ts";
import { isRegistryHost, normalizeHost } from "../../oci/reference.ts";
import type { LinkLimits } from "../../upstream/link/link_limits.ts";
import type { Address } from "../../server/listen.ts";
import type { Io } from "../console/io.ts";
import { parseDuration, parseSize } from "../console/quantity.ts";
import type { Invocation } from "./command.ts";
import type { ConfigFile } from "./config_file.ts";
import { readLinkLimits } from "./link_limits.ts";
import { refuseUrl } from "./parse_command_line.ts";
import { type Hosts, readStoredRegistries, withStoredRegistries } from "./stored_registries.ts";

/** The settings of a command: from its flags, else the environment, else the configuration file, else the defaults. */
export interface Settings {
  /** The data folder. */
  readonly data: string;
  /** The URL of a bucket (`s3://…`) that content is stored in, instead of the data folder. */
  readonly store?: string | undefined;
  /** The configuration file with the flags about hosts, and the registries that were added on the page. */
  readonly config: ConfigFile;
  /** `config` without the registries of the page. */
  readonly givenConfig?: ConfigFile;
  /** The registries of the page. */
  readonly storedHosts?: Hosts;
  /** The path of the configuration file, whose logins are read again when it changes; absent without such a file. */
  readonly configPath?: string | undefined;
  readonly offline: boolean;
  /** Names a setting in errors by where it is from: `--peer`, or `peer of crpe.yaml`. Absent: by its flag. */
  readonly nameOf?: (setting: string) => string;
  /** Upstreams as `HOST[=URL]`, as given. */
  readonly upstreams: readonly string[];
  /** Whether only named upstreams are contacted. If not, and `upstreams` is empty, the well-known registries are too. */
  readonly isClosed?: boolean;
  /** The chosen platforms; `undefined` when none were named. */
  readonly platforms: readonly Platform[] | undefined;
  /** How long a cached tag counts as fresh, in milliseconds. */
  readonly tagTtl: number;
  /** Whether blobs that no client requested are downloaded in the background. */
  readonly isCompleting: boolean;
  /** Size limit of the store in bytes; `undefined` for no limit. */
  readonly cacheMax: number | undefined;
  /** Limit of the memory for buffers and caches of a server, in bytes; `undefined` for the default. */
  readonly maxMemory?: number | undefined;
  /** URLs of other crpes whose content is used. */
  readonly peers?: readonly string[];
  /** How other crpes of the local network are found; absent: not at all. */
  readonly discovery?: { readonly interface?: string | undefined } | undefined;
  /** What may be received from upstreams; absent for no limit. */
  readonly link?: LinkLimits | undefined;
}

const MIN_CACHE_BYTES = 1024 * 1024;
const MIN_MEMORY_BYTES = 96 * 1024 * 1024;
const NO_CONFIG: ConfigFile = { upstream: [], private: [], hosts: {} };

/**
 * Reads the settings of one invocation.
 *
 * @param canUseBucket whether the command works with a store on object storage
 * @param isDiagnosis whether the command itself reports a data folder that cannot be one
 * @throws {CrpeError} when the data folder cannot be one
 * @throws {UsageError} when a value is not valid
 */
export async function readSettings(
  invocation: Invocation,
  io: Io,
  { canUseBucket = false, isDiagnosis = false }: {
    readonly canUseBucket?: boolean;
    readonly isDiagnosis?: boolean;
  } = {},
): Promise<Settings> {
  const configPath = invocation.flag("config");
  const withCerts = withCaFiles(await readConfig(configPath), invocation.flags("ca-file"));
  const config = withInsecure(withCerts, invocation.flags("insecure"));
  const upstreams = invocation.flags("upstream");
  const data = dataFolder(invocation, { io, config });
  if (data === undefined) {
    throw new UsageError(cannot("choose a data folder", "$HOME is not set", "name one with --data DIR"));
  }
  const store = invocation.flag("store") ?? io.env("CRPE_STORE") ?? config.store;
  if (store !== undefined && !canUseBucket) {
    throw new UsageError(
      cannot(`use the store ${store}`, "this command works with a data folder only", "unset CRPE_STORE or store"),
    );
  }
  const nameOf = (setting: string) => nameSetting(setting, invocation, configPath);
  const fault = await findFolderFault(data);
  if (fault !== undefined && !isDiagnosis) throw wrongDataFolder(data, fault);
  const stored = fault === undefined ? await readStoredRegistries(data) : {};
  return {
    data,
    store,
    config: withStoredRegistries(config, stored),
    givenConfig: config,
    storedHosts: stored,
    configPath,
    nameOf,
    offline: invocation.isSet("offline") || config.offline === true,
    upstreams: orElse(upstreams, config.upstream),
    platforms: readPlatforms(invocation.flag("platform"), "--platform") ??
      readPlatforms(io.env("PLATFORMS"), "$PLATFORMS") ?? readPlatforms(config.platform, nameOf("platform")),
    isCompleting: !invocation.isSet("no-complete") && config.complete !== false,
    cacheMax: readSize(invocation.flag("cache-max") ?? config["cache-max"], nameOf("cache-max"), MIN_CACHE_BYTES),
    maxMemory: readSize(invocation.flag("max-memory") ?? config["max-memory"], nameOf("max-memory"), MIN_MEMORY_BYTES),
    peers: orElse(invocation.flags("peer"), config.peer ?? []),
    discovery: readDiscovery(invocation, config),
    link: readLinkLimits({
      rate: invocation.flag("limit-rate") ?? config["limit-rate"],
      budgets: orElse(invocation.flags("budget"), config.budget ?? []),
      windows: orElse(invocation.flags("window"), config.window ?? []),
      nameOf,
    }),
    tagTtl: parseDuration(invocation.flag("tag-ttl") ?? config["tag-ttl"] ?? "5m", nameOf("tag-ttl")),
  };
}

/** Names a setting in errors by where it is from: its flag, or the field of the configuration file. */
export function nameSetting(setting: string, invocation: Invocation, configPath: string | undefined): string {
  const isField = configPath !== undefined && invocation.flags(setting).length === 0;
  return isField ? `${setting} of ${configPath}` : `--${setting}`;
}

function readDiscovery(invocation: Invocation, config: ConfigFile): Settings["discovery"] {
  const named = invocation.flag("discover-on");
  if (invocation.isSet("discover") || config.discover === true) {
    return { interface: named ?? config["discover-on"] };
  }
  if (named === undefined) return undefined;
  throw new UsageError(cannot("use --discover-on without --discover"));
}

function orElse<T>(given: readonly T[], other: readonly T[]): readonly T[] {
  return given.length > 0 ? given : other;
}

/** The platform of this machine. Containers on Android are Linux containers. */
export function ownPlatform(): Platform {
  const { os, arch } = Deno.build;
  return { os: os === "android" ? "linux" : os, architecture: arch };
}

/** @param least a smaller size is refused */
function readSize(text: string | undefined, what: string, least: number): number | undefined {
  return text === undefined ? undefined : parseSize(text, what, least);
}

/**
 * Parses `HOST:PORT`, `:PORT` or `PORT`.
 *
 * @param what the name of the flag or field, for errors
 * @throws {UsageError} when the text is not an address
 */
export function parseAddress(text: string, what = "--addr"): Address {
  const match = /^(?:(?<hostname>\[[0-9a-fA-F:.%a-z]+\]|[^:[\]]*):)?(?<port>[0-9]{1,5})$/.exec(text);
  const port = Number(match?.groups?.port);
  if (match === null || port > 65535) {
    throw new UsageError(
      cannot(`use ${what} ${JSON.stringify(text)}`, "write HOST:PORT, such as 127.0.0.1:6060 or :6060"),
    );
  }
  return { hostname: match.groups?.hostname?.replace(/^\[|\]$/g, "") || undefined, port };
}

/** Reads where a server listens: `--addr`, else the configuration, else all addresses on `$PORT` or the default port. */
export function readAddress(
  invocation: Invocation,
  io: Io,
  { config, configPath, defaultPort }: Pick<Settings, "config" | "configPath"> & { readonly defaultPort: number },
): Address {
  const named = invocation.flag("addr");
  if (named !== undefined) return parseAddress(named);
  const { hostname, port } = parseAddress(
    config.addr ?? `:${defaultPort}`,
    nameSetting("addr", invocation, configPath),
  );
  const variable = io.env("PORT");
  return variable === undefined ? { hostname, port } : { hostname, port: parseAddress(variable, "$PORT").port };
}

/** The data folder of this user when none is named; `undefined` when `$HOME` is not set. */
export function defaultDataFolder(io: Pick<Io, "env">): string | undefined {
  const share = io.env("XDG_DATA_HOME");
  if (share !== undefined) return `${share}/crpe`;
  const home = io.env("HOME");
  return home === undefined ? undefined : `${home}/.local/share/crpe`;
}

/** Reads the data folder alone, as `readSettings` does; `undefined` if none is named and `$HOME` is not set. */
export async function readDataFolder(invocation: Invocation, io: Io): Promise<string | undefined> {
  const data = dataFolder(invocation, { io, config: await readConfig(invocation.flag("config")) });
  const fault = data && await findFolderFault(data);
  if (data && fault) throw wrongDataFolder(data, fault);
  return data;
}

function wrongDataFolder(data: string, fault: string): CrpeError {
  return new CrpeError(cannot(`use ${data} as the data folder`, fault, "name a folder with --data"));
}

function dataFolder(
  invocation: Invocation,
  { io, config }: { readonly io: Io; readonly config: ConfigFile },
): string | undefined {
  const variable = io.env("STORAGE_ROOT");
  const named = invocation.flag("data") ?? variable ?? config.data;
  const what = variable === undefined ? nameSetting("data", invocation, invocation.flag("config")) : "$STORAGE_ROOT";
  if (named !== undefined) refuseUrl(named, what);
  return named?.replace(/(?<=.)\/+$/, "") ?? defaultDataFolder(io);
}

async function readConfig(path: string | undefined): Promise<ConfigFile> {
  if (path === undefined) return NO_CONFIG;
  // Loading YAML and validation takes as long as the rest of the start: only an invocation with --config does it.
  const { parseConfigFile } = await import("./config_file.ts");
  return parseConfigFile(await readText(path), path);
}

function withCaFiles(config: ConfigFile, given: readonly string[]): ConfigFile {
  const hosts = { ...config.hosts };
  for (const text of given) {
    const [, name, file] = /^([^=/]+)=(.+)$/.exec(text) ?? [];
    if (name === undefined || file === undefined) {
      throw new UsageError(
        cannot(
          `use --ca-file ${JSON.stringify(text)}`,
          "write HOST=FILE; for all hosts, the system trusts a CA, or SSL_CERT_FILE names a file of them",
        ),
      );
    }
    const key = keyOf(hosts, name);
    hosts[key] = { ...hosts[key], "ca-file": file };
  }
  return { ...config, hosts };
}

function withInsecure(config: ConfigFile, given: readonly string[]): ConfigFile {
  const hosts = { ...config.hosts };
  for (const name of given) {
    if (!isRegistryHost(name)) {
      throw new UsageError(
        cannot(`use --insecure ${JSON.stringify(name)}`, "write HOST or HOST:PORT, as in image names"),
      );
    }
    const key = keyOf(hosts, name);
    hosts[key] = { ...hosts[key], insecure: true };
  }
  return { ...config, hosts };
}

// The key of a host in the configuration, which may be another one of its names.
function keyOf(hosts: ConfigFile["hosts"], name: string): string {
  return Object.keys(hosts).find((host) => normalizeHost(host) === normalizeHost(name)) ?? name;
}

/**
 * Parses a list of platforms; `undefined` gives `undefined`.
 *
 * @param what the name of the flag, variable or field, for errors
 * @throws {UsageError} when a platform is not valid, or the list is empty
 */
export function readPlatforms(text: string | undefined, what: string): Platform[] | undefined {
  if (text === undefined) return undefined;
  let platforms: Platform[];
  try {
    platforms = parsePlatforms(text);
  } catch (error) {
    if (!(error instanceof CorruptError)) throw error;
    const { action, reason } = error;
    throw new UsageError({ action, reason: `${reason} (${what})` }, { cause: error });
  }
  if (platforms.length > 0) return platforms;
  throw new UsageError(cannot(`use ${what} ${JSON.stringify(text)}`, "it names no platform"));
}
