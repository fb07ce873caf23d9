import { parse } from "smol-toml";
import { isJsonObject, textsOf } from "../oci/json.ts";

/** containerd's main configuration file. It sets the folder of registries (`config_path`). */
export const CONTAINERD_CONFIG = "/etc/containerd/config.toml";

/** One file of containerd's configuration. */
interface ContainerdFile {
  readonly path: string;
  readonly text: string;
  readonly content: Toml;
}

/** The content of a TOML document, or of a table in it. */
export type Toml = Readonly<Record<string, unknown>>;

/** containerd's configuration: its main file and what that imports, in the order in which containerd merges them. */
export interface ContainerdConfig {
  /** The main file is the first. Empty when there is none. */
  readonly files: readonly ContainerdFile[];
  /** The folders of which every `*.toml` is imported. */
  readonly dropInFolders: readonly string[];
}

/** Access to containerd's files, by their paths on the machine of containerd. */
interface ConfigReader {
  /** Reads a file; `undefined` when it is missing. */
  readonly readText: (path: string) => Promise<string | undefined>;
  /** Lists the names in a folder; empty when it is missing. */
  readonly listNames: (folder: string) => Promise<readonly string[]>;
}

const MAX_FILES = 100;
const MAX_CHARACTERS = 1024 * 1024;

/**
 * Reads containerd's configuration with its imports.
 *
 * @throws {Error} when a file is not TOML, or when there are too many: `PATH: reason`
 */
export async function readContainerdConfig(reader: ConfigReader): Promise<ContainerdConfig> {
  const files: ContainerdFile[] = [];
  const dropInFolders: string[] = [];
  const pending: string[] = [CONTAINERD_CONFIG];
  const loaded = new Set<string>();
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    if (loaded.has(path)) continue;
    loaded.add(path);
    if (loaded.size > MAX_FILES) throw new Error(`${path}: more than ${MAX_FILES} files are imported`);
    const text = await reader.readText(path);
    if (text === undefined) continue;
    const content = parseToml(text, path);
    files.push({ path, text, content });
    for (const pattern of readStrings(content.imports)) {
      const { folder, name } = splitImport(path, pattern);
      if (name === "*.toml") dropInFolders.push(folder);
      if (!name.includes("*")) pending.push(`${folder}/${name}`);
      else pending.push(...(await listMatches(reader, folder, name)));
    }
  }
  return { files, dropInFolders };
}

/** Parses TOML. @throws {Error} `PATH: reason`, without the text, which may contain passwords */
export function parseToml(text: string, path: string): Toml {
  if (text.length > MAX_CHARACTERS) throw new Error(`${path}: it has more than ${MAX_CHARACTERS} characters`);
  try {
    return parse(text);
  } catch {
    throw new Error(`${path}: it is not TOML`);
  }
}

// An import that is not absolute is relative to the file that names it.
function splitImport(parent: string, pattern: string): { folder: string; name: string } {
  const path = pattern.startsWith("/") ? pattern : `${parent.slice(0, parent.lastIndexOf("/"))}/${pattern}`;
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  const name = parts.pop() ?? "";
  return { folder: parts.map((part) => `/${part}`).join(""), name };
}

async function listMatches(reader: ConfigReader, folder: string, name: string): Promise<string[]> {
  const parts = name.split("*").map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  const pattern = new RegExp(`^${parts.join("[^/]*?")}$`);
  return (await reader.listNames(folder)).filter((name) => pattern.test(name)).sort().map((name) =>
    `${folder}/${name}`
  );
}

/** The names of the plugin whose table has `registry`: of version 1, of version 2, and since version 3. */
export const CRI_PLUGINS = ["cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"] as const;
const [CRI_1, CRI_2, IMAGES] = CRI_PLUGINS;

/** What releases of containerd read as their registry settings. */
interface RegistrySettings {
  /** `config_path`; empty when unset. */
  readonly configPath: string;
  /** Whether there are `mirrors`, which cannot be combined with `config_path`. */
  readonly hasMirrors: boolean;
}

/** Releases of containerd that read configuration in the same way. */
export interface ContainerdReleases {
  /** `2.0 to 2.2` */
  readonly name: string;
  /** The newest version of a configuration file that they accept. */
  readonly maxVersion: number;
  /** Whether they use each folder of a list in `config_path`. */
  readonly readsLists: boolean;
  readonly readRegistry: (files: readonly Toml[]) => unknown;
}

/**
 * The supported releases. Up to 1.7 a plugin's table in an imported file replaces that of the main file. Later ones merge
 * them, and rename tables of older versions: 2.0 to 2.2 after the merge, by the version that is merged last, and 2.3 and
 * later file by file. A file of version 1 is renamed to version 2 only, and counts as one of version 3.
 */
export const CONTAINERD_RELEASES: readonly ContainerdReleases[] = [
  { name: "1.6 and 1.7", maxVersion: 2, readsLists: true, readRegistry: readLastTable },
  { name: "2.0 to 2.2", maxVersion: 3, readsLists: false, readRegistry: readMerged },
  { name: "2.3 and later", maxVersion: 4, readsLists: false, readRegistry: readMigrated },
];

/** Returns the version of a configuration file, which is 1 when it names none. */
export function versionOf({ version }: Toml): number {
  return typeof version === "number" && version > 1 ? version : 1;
}

/** Reads what some releases use as their registry settings. */
export function readRegistrySettings(releases: ContainerdReleases, files: readonly Toml[]): RegistrySettings {
  const registry = asTable(releases.readRegistry(files));
  return {
    configPath: typeof registry.config_path === "string" ? registry.config_path : "",
    hasMirrors: Object.keys(asTable(registry.mirrors)).length > 0,
  };
}

function readLastTable(files: readonly Toml[]): unknown {
  const name = Math.max(1, ...files.map(versionOf)) === 1 ? CRI_1 : CRI_2;
  const plugins = files.map((file) => asTable(file.plugins)).findLast((plugins) => plugins[name] !== undefined);
  return asTable(plugins?.[name]).registry;
}

function readMerged(files: readonly Toml[]): unknown {
  const version = files.map(versionOf).findLast((version) => version > 1) ?? 3;
  return registryOf(files.map(renameFirst).reduce(merge, {}), version < 3);
}

function readMigrated(files: readonly Toml[]): unknown {
  const registries = files.map((file) => registryOf(renameFirst(file), versionOf(file) < 3));
  return registries.reduce<Toml>((merged, registry) => merge(merged, asTable(registry)), {});
}

function renameFirst(file: Toml): Toml {
  const plugins = asTable(file.plugins);
  return versionOf(file) === 1 && plugins[CRI_1] !== undefined ? { ...plugins, [CRI_2]: plugins[CRI_1] } : plugins;
}

function registryOf(plugins: Toml, isRenamed: boolean): unknown {
  const older = asTable(plugins[CRI_2]).registry;
  return isRenamed && older !== undefined ? older : asTable(plugins[IMAGES]).registry;
}

// An empty value of an imported file does not replace another one.
function merge(to: Toml, from: Toml): Toml {
  const merged: Record<string, unknown> = { ...to };
  for (const [key, value] of Object.entries(from)) {
    if (isJsonObject(value) && isJsonObject(merged[key])) merged[key] = merge(merged[key], value);
    else if (value !== "" || merged[key] === undefined) merged[key] = value;
  }
  return merged;
}

/** Returns a table, which is empty for any other value. */
export function asTable(value: unknown): Toml {
  return isJsonObject(value) ? value : {};
}

function readStrings(value: unknown): string[] {
  return textsOf(value) ?? [];
}
