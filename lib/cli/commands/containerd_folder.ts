import { createFolderReader } from "../../files/folder_reader.ts";
import { CONTAINERD_CONFIG, type ContainerdConfig, readContainerdConfig } from "../../mirror/containerd_config.ts";
import { type ConfigChange, isCriDisabled, planConfigChange, whyFolderUnread } from "../../mirror/containerd_folder.ts";
import { describeSystemError } from "../../oci/system_error.ts";

/** Where containerd's files are. */
export interface ContainerdPlace {
  /** The root folder of its machine, which all files must be in. */
  readonly root: string;
  /** What to put in front of the machine's paths: the root folder without a slash at its end. */
  readonly prefix: string;
  /** The folder of registries, as a path on the machine. */
  readonly place: string;
  /** Whether that is the usual folder. For another one, crpe changes no other file. */
  readonly isUsual: boolean;
}

/** How to make containerd read the folder of registries. */
interface FolderPlan {
  /** The change of containerd's configuration; absent when none is necessary, or none is safe. */
  readonly change?: ConfigChange;
  /** What else the user must know. */
  readonly notes: readonly string[];
}

/** Plans how to make containerd read the folder of registries. */
export async function planFolder(target: ContainerdPlace): Promise<FolderPlan> {
  const config = await tryRead(target);
  if (typeof config === "string") return { notes: [config] };
  const unread = whyFolderUnread(config, target.place);
  const disabled = isCriDisabled(config)
    ? [
      `${CONTAINERD_CONFIG} disables the plugin that Kubernetes needs (disabled_plugins): a cluster cannot pull with it`,
    ]
    : [];
  if (unread === undefined) return { notes: disabled };
  const change = target.isUsual ? planConfigChange(config, target.place) : undefined;
  const used = change === undefined ? [] : await listUsed(target, change.droppedFolders);
  if (change !== undefined && used.length === 0) return { change, notes: disabled };
  const dropped = used.length === 0 ? [] : [`containerd also uses ${used.join(", ")}: move its folders first`];
  return { notes: [formatAdvice(unread.reason, unread.lines), ...dropped, ...disabled] };
}

/** Lists what the user must do so that containerd reads the folder of registries. */
export async function adviseOnFolder(target: ContainerdPlace): Promise<string[]> {
  const { change, notes } = await planFolder(target);
  if (change === undefined) return [...notes];
  const config = await tryRead(target);
  const unread = typeof config === "string" ? undefined : whyFolderUnread(config, target.place);
  // The lines are for a file that exists already. A drop-in also needs a version.
  const isEdited = typeof config !== "string" && config.files.some(({ path }) => path === change.path);
  return [
    ...unread === undefined ? [] : [formatAdvice(unread.reason, unread.lines, isEdited ? change.path : undefined)],
    `with --write, crpe changes ${target.prefix}${change.path}`,
    ...notes,
  ];
}

/** Lists the files of containerd's configuration, which crpe may have changed. */
export async function listConfigFiles(target: ContainerdPlace): Promise<string[]> {
  const config = await tryRead(target);
  const paths = typeof config === "string" ? [CONTAINERD_CONFIG] : config.files.map(({ path }) => path);
  return paths.map((path) => target.prefix + path);
}

function formatAdvice(reason: string, lines: string | undefined, path = CONTAINERD_CONFIG): string {
  if (lines === undefined) return reason;
  return `${reason}\nset this in ${path}, in the table if there is one already, and restart containerd:\n\n${lines}`;
}

/** Reads containerd's configuration, or explains why it cannot be read. */
async function tryRead({ prefix }: ContainerdPlace): Promise<ContainerdConfig | string> {
  try {
    return await readContainerdConfig(createFolderReader(prefix));
  } catch (error) {
    const reason = error instanceof Deno.errors.PermissionDenied ? "permission denied" : describeSystemError(error);
    return `containerd's configuration cannot be checked: ${reason}`;
  }
}

async function listUsed({ prefix }: ContainerdPlace, folders: readonly string[]): Promise<string[]> {
  const used: string[] = [];
  for (const folder of folders) {
    if ((await createFolderReader(prefix).listNames(folder)).length > 0) used.push(folder);
  }
  return used;
}
