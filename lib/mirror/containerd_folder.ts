import {
  asTable,
  CONTAINERD_CONFIG,
  CONTAINERD_RELEASES,
  type ContainerdConfig,
  type ContainerdReleases,
  CRI_PLUGINS,
  parseToml,
  readRegistrySettings,
  type Toml,
  versionOf,
} from "./containerd_config.ts";
import { formatHeader, setTomlValue } from "./toml_text.ts";

/** Why containerd does not read a folder of registries. */
interface UnreadFolder {
  /** The reason, in one line. */
  readonly reason: string;
  /** Whether no release reads it. If not, some do. */
  readonly isNever: boolean;
  /** The lines to have in containerd's configuration; absent when other changes are necessary first. */
  readonly lines?: string;
}

/** A change of containerd's configuration, after which it reads a folder of registries. */
export interface ConfigChange {
  readonly path: string;
  /** The new text of the file. */
  readonly text: string;
  /** The folders of a list in `config_path` that are no longer read. */
  readonly droppedFolders: readonly string[];
}

const [CRI_1, CRI_2, IMAGES] = CRI_PLUGINS;
// The drop-in is merged after other ones.
const DROP_IN = "99-crpe.toml";

/**
 * Explains why releases of containerd that accept a configuration do not read a folder of registries in it; `undefined`
 * when all do. Without any setting, 2.2 and later use a list of two folders, which their CRI plugin takes as the name of
 * one (containerd, issue 12636), and earlier ones use none.
 */
export function whyFolderUnread(config: ContainerdConfig, folder: string): UnreadFolder | undefined {
  const contents = config.files.map(({ content }) => content);
  const accepting = CONTAINERD_RELEASES.filter(({ maxVersion }) => newestVersion(contents) <= maxVersion);
  const unread = accepting.flatMap((releases) => {
    const reason = explain(releases, contents, folder);
    return reason === undefined ? [] : [{ ...reason, releases }];
  });
  if (unread.length === 0) return undefined;
  const isNever = unread.length === accepting.length;
  const groups = [...Map.groupBy(unread, ({ words }) => words)];
  const reason = groups.map(([words, group]) => {
    if (isNever && groups.length === 1) return `containerd does not read ${folder}: ${words}`;
    return `${folder} is not read by containerd ${group.map(({ releases }) => releases.name).join(", ")}: ${words}`;
  }).join("; ");
  const isAddable = unread.every(({ isAddable }) => isAddable);
  return { reason, isNever, ...(isAddable ? { lines: formatLines(config, folder) } : {}) };
}

/** Reports whether the configuration disables the plugin that Kubernetes needs. */
export function isCriDisabled({ files }: ContainerdConfig): boolean {
  const disabled = files.flatMap(({ content }) => [content.disabled_plugins].flat());
  return CRI_PLUGINS.some((name) => disabled.includes(name));
}

/** Plans the change after which containerd reads a folder; `undefined` when no file can be changed safely. */
export function planConfigChange(config: ContainerdConfig, folder: string): ConfigChange | undefined {
  const { files } = config;
  if (whyFolderUnread(config, folder)?.lines === undefined) return undefined;
  if (files.length === 0) {
    const head = "# containerd reads this folder of registries; crpe mirror-config --remove removes the file.\n";
    return { path: CONTAINERD_CONFIG, text: `${head}${formatLines(config, folder)}`, droppedFolders: [] };
  }
  const tables = tablesOf(files[0]!.content);
  const edited = files.toReversed().filter(({ content }, i) => i === files.length - 1 || hasPlugin(content, tables));
  const changes = [
    ...listDropIns(config, folder),
    ...edited.flatMap(({ path, text }) => {
      const changed = setFolders(text, tables, folder);
      return changed === undefined ? [] : [{ path, text: changed }];
    }),
  ];
  const change = changes.find((change) => whyFolderUnread(withFile(config, change), folder) === undefined);
  return change && { ...change, droppedFolders: listOtherFolders(config, folder) };
}

/** Formats the lines that name the folder, for the version of the main file. */
function formatLines({ files }: ContainerdConfig, folder: string): string {
  const head = files.length === 0 ? "version = 2\n\n" : "";
  const tables = files.length === 0 ? [CRI_2] : tablesOf(files[0]!.content);
  return head + tables.map((name) => `${formatHeader(pathOf(name))}\n  config_path = "${folder}"\n`).join("\n");
}

// A file of version 1 is read by 1.6 and 1.7 with the short name, and by 2.0 to 2.2 with the long one.
function tablesOf(main: Toml): readonly string[] {
  const version = versionOf(main);
  return version === 1 ? [CRI_1, IMAGES] : version === 2 ? [CRI_2] : [IMAGES];
}

function pathOf(plugin: string): string[] {
  return ["plugins", plugin, "registry"];
}

function setFolders(text: string, tables: readonly string[], folder: string): string | undefined {
  let changed: string | undefined = text;
  for (const name of tables) {
    if (changed === undefined) break;
    changed = setTomlValue(changed, { table: pathOf(name), key: "config_path", value: folder });
  }
  return changed;
}

// Releases that accept version 2 replace the whole table of a plugin by that of an imported file.
function listDropIns({ files, dropInFolders }: ContainerdConfig, folder: string): { path: string; text: string }[] {
  const version = versionOf(files[0]!.content);
  if (version < 2 || version === 2 && files.some(({ content }) => asTable(content.plugins)[CRI_2] !== undefined)) {
    return [];
  }
  const lines = formatLines({ files, dropInFolders }, folder);
  return dropInFolders.map((place) => ({ path: `${place}/${DROP_IN}`, text: `version = ${version}\n\n${lines}` }));
}

function withFile(config: ContainerdConfig, { path, text }: { path: string; text: string }): ContainerdConfig {
  const file = { path, text, content: parseToml(text, path) };
  const at = config.files.findIndex((other) => other.path === path);
  if (at >= 0) return { ...config, files: config.files.with(at, file) };
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const next = config.files.findIndex((other) => other.path.startsWith(folder) && other.path > path);
  return { ...config, files: config.files.toSpliced(next < 1 ? config.files.length : next, 0, file) };
}

function hasPlugin({ plugins }: Toml, tables: readonly string[]): boolean {
  return tables.some((name) => asTable(plugins)[name] !== undefined);
}

function newestVersion(contents: readonly Toml[]): number {
  return Math.max(1, ...contents.map(versionOf));
}

interface Explanation {
  readonly words: string;
  /** Whether it is enough to set `config_path`. */
  readonly isAddable: boolean;
}

function explain(
  releases: ContainerdReleases,
  contents: readonly Toml[],
  folder: string,
): Explanation | undefined {
  if (contents.length === 0) return { words: `there is no ${CONTAINERD_CONFIG}`, isAddable: true };
  const { configPath, hasMirrors } = readRegistrySettings(releases, contents);
  if (hasMirrors) {
    const words = "its configuration has registry.mirrors, which cannot be combined with config_path; " +
      `move them into hosts.toml files below ${folder}, and run this again`;
    return { words, isAddable: false };
  }
  const folders = splitList(configPath);
  if (folders.length === 1 && folders[0] === folder) return undefined;
  if (folders.length > 1 && folders.includes(folder)) {
    if (releases.readsLists) return undefined;
    const words = `config_path is the list ${JSON.stringify(configPath)}, which releases since 2.1 take as one folder`;
    return { words, isAddable: true };
  }
  if (folders.length > 0) {
    const place = folders.length === 1 ? `; write the files there with --path=${folders[0]}` : "";
    return { words: `config_path is ${JSON.stringify(configPath)}${place}`, isAddable: false };
  }
  const [ignored] = CRI_PLUGINS.filter((name) =>
    contents.some(({ plugins }) => splitList(asTable(asTable(asTable(plugins)[name]).registry).config_path)[0])
  );
  const words = ignored === undefined
    ? `${CONTAINERD_CONFIG} does not name it`
    : tablesOf(contents[0]!).includes(ignored)
    ? `the plugin's table of an imported file replaces ${formatHeader(pathOf(ignored))}`
    : `${formatHeader(pathOf(ignored))} is not used in version = ${newestVersion(contents)}`;
  return { words, isAddable: true };
}

function splitList(configPath: unknown): string[] {
  if (typeof configPath !== "string") return [];
  return configPath.split(":").filter((path) => path !== "").map((path) => path.replace(/(?<=.)\/+$/, ""));
}

function listOtherFolders({ files }: ContainerdConfig, folder: string): string[] {
  const registries = files.flatMap(({ content }) =>
    CRI_PLUGINS.map((name) => asTable(asTable(asTable(content.plugins)[name]).registry))
  );
  const found = registries.flatMap(({ config_path }) => splitList(config_path)).filter((path) => path !== folder);
  return [...new Set(found)];
}
